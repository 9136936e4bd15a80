//! The publisher's side of releases: the real program against moto and the server in memory.

#[path = "publish/bench.rs"]
mod bench;
#[path = "publish/broken.rs"]
mod broken;
#[path = "publish/kill.rs"]
mod kill;
#[path = "publish/pruning.rs"]
mod pruning;
#[path = "publish/races.rs"]
mod races;
#[path = "publish/story.rs"]
mod story;
#[path = "publish/terminal.rs"]
mod terminal;
#[path = "publish/waiting.rs"]
mod waiting;
