select country, orders, amount
from order_totals
where day = :day
order by amount desc, country
