//! From a name to a handle of the thing that has it, with each name on the way judged before it is touched.
//!
//! A trusted directory is opened as anybody would, links and all, and its handle is held. From there on, links are not
//! followed by the kernel: where one stands, its target is made a name, and policy is asked about that name as about any
//! other. So it does not matter who changes what meanwhile: a handle was reached through directories that are no links,
//! beneath a trusted one, under a name that is granted.

use std::os::fd::{AsFd, OwnedFd};

use belljar_policy::{Access, Decision, Reason, Request, Rules};
use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::name::{BadName, Name, beneath, parent, parts};
use super::snapshot::{Kind, Seen, Stat};
use super::world::World;
use crate::error::Cause;
use crate::guest::Call;
use crate::record::Observation;
use crate::wasi::{Refusal, errno};

/// Links on one way, as on Linux.
const MAX_LINKS: usize = 40;

/// A handle that gives no right to read or write: getting it has no effect on the thing.
const HANDLE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Something that was found, and may be had.
#[derive(Debug)]
pub(crate) struct Reached {
    /// Its own name: not that of a link to it.
    pub(crate) name: String,
    pub(crate) handle: OwnedFd,
    pub(crate) stat: Stat,
}

/// What is at the end of one walk.
enum Walked {
    There(OwnedFd, Stat),
    /// A link on the way: its handle and name, and what is left to walk behind it.
    Link {
        handle: OwnedFd,
        name: String,
        rest: String,
    },
}

/// Finds what has this name, for this access. With `follow`, a link at the end is followed too.
pub(crate) fn reach(call: &mut Call, access: Access, name: Name, follow: bool) -> Result<Reached, Refusal> {
    let mut name = name;
    for _ in 0..=MAX_LINKS {
        if !call.granted(Request::Path { access, path: name.text.clone() }) {
            return Err(Refusal::Errno(errno::ACCES));
        }
        let rules = std::sync::Arc::clone(&call.rules);
        // Granted without a place to look in: nothing can be there.
        let Some(root) = rules.root_of(access, &name.text) else { return absent(call, name, errno::NOENT) };
        let follow = follow || name.directory;
        let (link, at, rest) = match walk(&call.world, &rules, &root, &name.text, follow) {
            Ok(Walked::There(handle, stat)) if stat.kind == Kind::Link && follow => {
                (handle, name.text.clone(), String::new())
            }
            Ok(Walked::There(_, stat)) if name.directory && stat.kind != Kind::Directory => {
                call.observe(&name.text, stat.seen())?;
                return Err(Refusal::Errno(errno::NOTDIR));
            }
            Ok(Walked::There(handle, stat)) => return Ok(Reached { name: name.text, handle, stat }),
            Ok(Walked::Link { handle, name, rest }) => (handle, name, rest),
            Err(Errno::NOENT) => return absent(call, name, errno::NOENT),
            Err(Errno::NOTDIR) => return absent(call, name, errno::NOTDIR),
            Err(Errno::NAMETOOLONG) => return absent(call, name, errno::NAMETOOLONG),
            Err(Errno::ACCESS | Errno::PERM) => return Err(forbidden(call, name.text)),
            Err(other) => {
                return Err(Cause::Unreadable { path: name.text, cause: other.to_string() }.into());
            }
        };
        let to = read_link(call, &link, &at)?;
        name = match Name::of_link(parent(&at), &to, &rest, name.directory) {
            Ok(next) => next,
            Err(BadName::TooLong) => return absent(call, name, errno::NAMETOOLONG),
            Err(_) => return absent(call, name, errno::NOENT),
        };
    }
    Err(Refusal::Errno(errno::LOOP))
}

impl Call {
    /// Keeps what is there, for this call and all others.
    pub(crate) fn observe(&mut self, name: &str, seen: Seen) -> Result<(), Cause> {
        self.world.see(name, seen.clone())?;
        let path = name.to_owned();
        self.observations.insert(match seen {
            Seen::Absent => Observation::Absent { path },
            Seen::File { size, digest } => Observation::File { path, size, digest },
            Seen::Directory { entries: None } => Observation::Directory { path },
            Seen::Directory { entries: Some(digest) } => Observation::Listing { path, digest },
            Seen::Link { to } => Observation::Link { path, target: to },
            Seen::Special => Observation::Special { path },
        });
        Ok(())
    }
}

fn absent<T>(call: &mut Call, name: Name, errno: u32) -> Result<T, Refusal> {
    call.observe(&name.text, Seen::Absent)?;
    let before = call.absences.insert(name.text, errno);
    // A thing that is missing in two ways within one call is no condition that can be held against anything.
    call.of_the_moment |= before.is_some_and(|before| before != errno);
    Err(Refusal::Errno(errno))
}

/// The user may not read it: the same to a guest as what policy refuses.
pub(crate) fn forbidden(call: &mut Call, path: String) -> Refusal {
    call.observations.insert(Observation::Failed { path });
    Refusal::Errno(errno::ACCES)
}

/// Where a link leads. Its handle tells, so it is the link that was found.
pub(crate) fn read_link(call: &mut Call, link: &OwnedFd, name: &str) -> Result<String, Refusal> {
    let unreadable = |error: Errno| Cause::Unreadable { path: name.to_owned(), cause: error.to_string() };
    let to = fs::readlinkat(link, "", Vec::new()).map_err(unreadable)?;
    match to.into_string() {
        Ok(to) => {
            call.observe(name, Seen::Link { to: to.clone() })?;
            Ok(to)
        }
        Err(error) => {
            call.of_the_moment = true;
            let path = error.into_cstring().to_string_lossy().into_owned();
            call.attempts.record(
                Request::Path { access: Access::ReadLink, path },
                &Decision::Refused(Reason::NeverGranted),
            );
            Err(Refusal::Errno(errno::ACCES))
        }
    }
}

/// The directory from which on no link is trusted. A grant is relative to the calling package or to the workspace, and what
/// is in those may come from anybody: of links, only those above them are the user's own. A grant by an absolute path
/// is of what the user calls so.
fn trusted<'a>(rules: &'a Rules, root: &'a str, name: &str, follow: bool) -> &'a str {
    let bases = rules.bases().chain(rules.cwd());
    let of_user = bases.filter(|base| beneath(base, name).is_some()).max_by_key(|base| base.len());
    match of_user {
        Some(base) => base,
        // To look at the link itself.
        None if root == name && !follow => parent(root),
        None => root,
    }
}

/// What has this name now, for a macro that may have it in any way. The name itself is meant: a link on the way is an error, and
/// one at the end is what is found.
pub(crate) fn look(world: &World, rules: &Rules, name: &str) -> rustix::io::Result<(OwnedFd, Stat)> {
    let accesses = [Access::Read, Access::List, Access::LookAt, Access::ReadLink];
    let root = accesses.into_iter().find_map(|access| rules.root_of(access, name)).ok_or(Errno::ACCESS)?;
    match walk(world, rules, &root, name, false)? {
        Walked::There(handle, stat) => Ok((handle, stat)),
        Walked::Link { .. } => Err(Errno::LOOP),
    }
}

fn walk(world: &World, rules: &Rules, root: &str, name: &str, follow: bool) -> rustix::io::Result<Walked> {
    let from = trusted(rules, root, name, follow);
    let rest = beneath(from, name).ok_or(Errno::NOENT)?;
    let real = &*world.real(from);
    let opened = || fs::open(real, OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY, Mode::empty());
    let held = match world.root(from, opened) {
        // The grant of a file, or of `X/**` where `X` is one.
        Err(Errno::NOTDIR) if rest.is_empty() => {
            let handle = fs::open(real, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let stat = Stat::of(&handle)?;
            return Ok(Walked::There(handle, stat));
        }
        other => other?,
    };
    let beneath = if rest.is_empty() { "." } else { rest };
    if world.openat2() {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(&held, beneath, HANDLE, Mode::empty(), how) {
            Ok(handle) => {
                let stat = Stat::of(&handle)?;
                return Ok(Walked::There(handle, stat));
            }
            Err(error @ (Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::ACCESS)) => {
                return Err(error);
            }
            // An old kernel, or a container that knows no such call.
            Err(Errno::NOSYS | Errno::PERM) => world.no_openat2(),
            // A link on the way, or somebody is moving directories: step by step.
            Err(_) => {}
        }
    }
    by_steps(held.as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?, from, beneath)
}

/// The same, one directory after the other, each opened in the one before.
fn by_steps(from: OwnedFd, name: &str, path: &str) -> rustix::io::Result<Walked> {
    let mut dir = from;
    let mut name = name.trim_end_matches('/').to_owned();
    let mut stat = Stat::of(&dir)?;
    let mut rest = parts(path).filter(|part| *part != ".");
    while let Some(part) = rest.next() {
        // `part` is one name and not `..`, and a link is not followed: this can't lead anywhere else.
        let handle = fs::openat(&dir, part, HANDLE, Mode::empty())?;
        stat = Stat::of(&handle)?;
        name.push('/');
        name.push_str(part);
        let rest = rest.clone().collect::<Vec<_>>().join("/");
        match stat.kind {
            Kind::Link if !rest.is_empty() => return Ok(Walked::Link { handle, name, rest }),
            Kind::Directory => {}
            _ if !rest.is_empty() => return Err(Errno::NOTDIR),
            _ => {}
        }
        dir = handle;
    }
    Ok(Walked::There(dir, stat))
}
