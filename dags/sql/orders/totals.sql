delete from order_totals where day = :day;
insert into order_totals (day, country, orders, amount)
select day, country, count(*), sum(amount)
from orders
where day = :day
group by day, country;
