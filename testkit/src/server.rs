//! What the servers of other people's making share: a port, an end with the test, certificates.

mod authority;
mod guard;
mod port;

pub use authority::Authority;
pub(crate) use guard::Guard;
pub use port::free_port;
