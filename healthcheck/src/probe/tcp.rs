//! Connecting, to one of a name's addresses.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::check::Check;
use crate::deadline::Deadline;
use crate::duration::MILLISECOND;
use crate::host::{Addresses, HOSTS, Host, HostsFile};
use crate::system::{Descriptor, Error, Path, Peer, Readiness};
use crate::text::{Line, Unhealthy};

/// The first address that accepts a connection.
///
/// # Errors
/// None does, as the line says of the last.
pub(super) fn connect(
    check: &Check<'_>,
    deadline: &Deadline,
    why: &mut Line,
) -> Result<Descriptor, Unhealthy> {
    let mut addresses = Addresses::NONE;
    find(check.host, &mut addresses, why)?;
    let mut last = Error::AGAIN;
    for &address in addresses.as_slice() {
        match connect_to(&Peer::new(address, check.port), deadline) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
        if last == Error::LATE {
            return Err(out_of_time(deadline, "does not accept a connection", why));
        }
    }
    Err(last.show_in(why).failed())
}

/// Nothing came in time.
pub(super) fn out_of_time(deadline: &Deadline, what: &str, why: &mut Line) -> Unhealthy {
    why.say(what).say(" within ");
    why.thousandths((deadline.limit() / MILLISECOND) as u64)
        .say(" s")
        .failed()
}

fn connect_to(peer: &Peer, deadline: &Deadline) -> Result<Descriptor, Error> {
    let socket = Descriptor::socket(peer)?;
    loop {
        match socket.connect(peer) {
            Ok(()) => return Ok(socket),
            // Within this machine it is there by the second time.
            Err(Error::IN_PROGRESS) => {}
            Err(Error::ALREADY) => until_ready(&socket, Readiness::Write, deadline)?,
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the socket, or until the deadline: [`Error::LATE`].
pub(super) fn until_ready(
    socket: &Descriptor,
    readiness: Readiness,
    deadline: &Deadline,
) -> Result<(), Error> {
    loop {
        let left = deadline.left();
        if left <= 0 {
            return Err(Error::LATE);
        }
        match socket.wait(readiness, left) {
            Ok(true) => return Ok(()),
            Ok(false) | Err(Error::INTERRUPTED) => {}
            Err(error) => return Err(error),
        }
    }
}

fn find(host: Host<'_>, addresses: &mut Addresses, why: &mut Line) -> Result<(), Unhealthy> {
    match host {
        Host::Localhost => {
            addresses.add(Ipv4Addr::LOCALHOST.into());
            addresses.add(Ipv6Addr::LOCALHOST.into());
        }
        Host::Address(address) => addresses.add(address),
        Host::Name(name) => return look_up(name, addresses, why),
    }
    Ok(())
}

/// Apart, as its buffers would be a page of the stack for those too that look nothing up.
#[inline(never)]
fn look_up(name: &[u8], addresses: &mut Addresses, why: &mut Line) -> Result<(), Unhealthy> {
    let mut hosts = HostsFile::looking_for(name, addresses);
    if let Err(error) = read(&mut hosts) {
        return Err(error
            .show_in(why.say("/etc/hosts cannot be read: "))
            .failed());
    }
    hosts.finish();
    if addresses.as_slice().is_empty() {
        return Err(why
            .say("/etc/hosts does not have ")
            .show(name)
            .say(", and no other names are known")
            .failed());
    }
    Ok(())
}

fn read(hosts: &mut HostsFile<'_>) -> Result<(), Error> {
    let mut path = Path::EMPTY;
    path.set(HOSTS);
    let file = Descriptor::open(&path)?;
    let mut buffer = [0; 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            count => hosts.push(buffer.get(..count).unwrap_or_default()),
        }
    }
}
