select customer_id, sum(amount) as spent
from orders
group by customer_id
having sum(amount) >= :at_least and sum(amount) < :below
order by customer_id
