create table if not exists rates (
    day      text not null,
    currency text not null,
    rate     real not null,
    primary key (day, currency)
)
