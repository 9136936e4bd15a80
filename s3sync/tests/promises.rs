//! The ten promises, by the numbers that the documentation gives them. The eighth, one writer at a
//! time, has a file of its own.

mod support;

#[path = "promises/content.rs"]
mod content;
#[path = "promises/deletes.rs"]
mod deletes;
#[path = "promises/failures.rs"]
mod failures;
#[path = "promises/keys.rs"]
mod keys;
#[path = "promises/polls.rs"]
mod polls;
#[path = "promises/readers.rs"]
mod readers;
#[path = "promises/times.rs"]
mod times;
