create table if not exists orders (
    order_id    text primary key,
    day         text not null,
    customer_id integer not null,
    country     text,
    currency    text not null,
    amount      integer not null
);
create table if not exists order_totals (
    day     text not null,
    country text not null,
    orders  integer not null,
    amount  integer not null,
    primary key (day, country)
);
