-- A retry meets its own rows.
insert into orders (order_id, day, customer_id, country, currency, amount)
values (:order_id, :day, :customer_id, :country, :currency, :amount)
on conflict (order_id) do update set
    customer_id = excluded.customer_id,
    country = excluded.country,
    currency = excluded.currency,
    amount = excluded.amount
