select count(*), min(price), max(price)
from feed_items
where feed = :feed
