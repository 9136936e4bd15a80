create table if not exists feed_items (
    feed  text not null,
    item  text not null,
    day   text not null,
    price integer not null,
    primary key (feed, item)
)
