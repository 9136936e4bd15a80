insert into rates (day, currency, rate)
values (:day, :currency, :rate)
on conflict (day, currency) do update set rate = excluded.rate
