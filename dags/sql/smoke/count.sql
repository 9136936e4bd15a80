with recursive numbers (n) as (
    select 1
    union all
    select n + 1 from numbers where n < :limit
)
select count(*), sum(n) from numbers
