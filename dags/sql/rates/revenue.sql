-- Each order at the newest rate of its currency, in cents of the base currency.
select o.country, round(sum(o.amount / r.rate)) as revenue
from orders o
join rates r on r.currency = o.currency
where r.day = (select max(day) from rates)
group by o.country
order by revenue desc
