insert into feed_items (feed, item, day, price)
values (:feed, :item, :day, :price)
on conflict (feed, item) do update set
    day = excluded.day,
    price = excluded.price
