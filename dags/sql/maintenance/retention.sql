delete from orders where day < :oldest;
delete from order_totals where day < :oldest;
