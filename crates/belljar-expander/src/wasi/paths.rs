//! What a guest asks by a path: opening, looking at, reading a link.

use belljar_policy::{Access, Decision, Reason, Request};

use super::{Answer, Refusal, errno, error};
use crate::error::Cause;
use crate::files::{self, BadName, Directory, File, Kind, Name, Open, ROOT, Reached, Seen, Stat, Unread};
use crate::guest::{self, Call};
use crate::limits::Limit;
use crate::memory;

/// The name in the guest's memory, relative to the directory `fd`. What is no name is refused and recorded as it can be
/// shown: before anything is looked up, so that nothing depends on what is there.
pub(super) fn asked_for(
    m: &[u8],
    call: &mut Call,
    access: Access,
    fd: u32,
    path: u32,
    len: u32,
) -> Result<Name, Refusal> {
    call.count_names(1)?;
    let base = match fd {
        ROOT => "/",
        0..ROOT => return error(errno::NOTDIR),
        _ => match call.files.directory(fd) {
            Some(directory) => &directory.name,
            None => return error(if call.files.is_open(fd) { errno::NOTDIR } else { errno::BADF }),
        },
    };
    let path = memory::bytes(m, path, len)?;
    Name::of(base, path, call.rules.cwd()).or_else(|bad| {
        let shown = guest::name_from(path);
        let shown =
            if shown.starts_with('/') { shown } else { format!("{}/{shown}", base.trim_end_matches('/')) };
        if bad != BadName::Empty {
            let request = Request::Path { access, path: shown };
            call.attempts.record(request, &Decision::Refused(Reason::NeverGranted));
        }
        error(match bad {
            BadName::Empty => errno::NOENT,
            BadName::Encoding => errno::ILSEQ,
            BadName::Zero => errno::INVAL,
            BadName::TooLong => errno::NAMETOOLONG,
            BadName::NoWorkingDirectory => errno::ACCES,
        })
    })
}

impl Call {
    fn unread(&mut self, path: &str, why: Unread, limit: Limit) -> Refusal {
        let path = path.to_owned();
        match why {
            Unread::Forbidden => files::forbidden(self, path),
            Unread::TooLarge => Cause::LargeFile { path, exceeded: self.exceeded(limit) }.into(),
            Unread::Changing => Cause::Changing { path }.into(),
            Unread::Failed(error) => Cause::Unreadable { path, cause: error.to_string() }.into(),
        }
    }

    /// Reads the entries of the directory `fd`, if that was not done.
    pub(super) fn list(&mut self, fd: u32) -> Answer {
        if self.files.listing(fd).is_some() {
            return Ok(());
        }
        let path = match self.files.directory(fd) {
            Some(directory) => directory.name.clone(),
            None if fd == ROOT => "/".to_owned(),
            None => return error(errno::NOTDIR),
        };
        let name = Name { text: path, directory: true };
        let Reached { name, handle, .. } = files::reach(self, Access::List, name, true)?;
        let allowed = self.names_left();
        let listing = files::list(&handle, allowed).map_err(|why| self.unread(&name, why, Limit::Names))?;
        self.count_names(listing.entries.len() as u64)?;
        for unspeakable in &listing.unspeakable {
            // The guest does not see it, which somebody may wonder about.
            let path = format!("{}/{unspeakable}", name.trim_end_matches('/'));
            let request = Request::Path { access: Access::LookAt, path };
            self.attempts.record(request, &Decision::Refused(Reason::NeverGranted));
        }
        self.observe(&name, Seen::Directory { entries: Some(listing.digest()) })?;
        self.files.keep_listing(fd, listing);
        Ok(())
    }
}

/// `filestat` of WASI: always the same device, a number that follows from the name, one link.
pub(super) fn filestat(call: &mut Call, name: &str, stat: &Stat) -> [u8; 64] {
    call.see_fixed_time();
    let mut out = [0; 64];
    out[0] = 1;
    out[8..16].copy_from_slice(&serial(name).to_le_bytes());
    out[16] = stat.kind.number();
    out[24] = 1;
    out[32..40].copy_from_slice(&stat.size.to_le_bytes());
    let times = call.wasi.clock.fixed().map_or(stat.times, |fixed| [fixed; 3]);
    for (to, time) in out[40..].chunks_exact_mut(8).zip(times) {
        to.copy_from_slice(&time.to_le_bytes());
    }
    out
}

/// The number of a file: on every machine the same, where names are.
pub(super) fn serial(name: &str) -> u64 {
    let digest = blake3::hash(name.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h]).max(1)
}

const FOLLOW: u32 = 1;

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_open(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    lookup: u32,
    path: u32,
    len: u32,
    how: u32,
    rights: u64,
    _: u64,
    _: u32,
    opened: u32,
) -> Answer {
    const CREATE: u32 = 1;
    const DIRECTORY: u32 = 2;
    const TRUNCATE: u32 = 8;
    const WRITE: u64 = 1 << 6;
    let access = if how & (CREATE | TRUNCATE) != 0 || rights & WRITE != 0 {
        Access::Write
    } else if how & DIRECTORY != 0 {
        Access::List
    } else {
        Access::Read
    };
    let name = asked_for(m, call, access, fd, path, len)?;
    if access == Access::Write {
        return super::refused::refuse(call, Request::Path { access, path: name.text });
    }
    let Reached { name, handle, stat } = files::reach(call, access, name, lookup & FOLLOW != 0)?;
    if !call.files.room() {
        // That it was found, it knows.
        call.of_the_moment = true;
        return error(errno::MFILE);
    }
    let open = match stat.kind {
        Kind::Directory => {
            call.observe(&name, Seen::Directory { entries: None })?;
            Open::Directory(Directory { name, stat, listing: None })
        }
        _ if how & DIRECTORY != 0 => {
            call.observe(&name, stat.seen())?;
            return error(errno::NOTDIR);
        }
        Kind::Link => {
            files::read_link(call, &handle, &name)?;
            return error(errno::LOOP);
        }
        // Opening one can wait for ever, or do something.
        Kind::Special => {
            call.observe(&name, Seen::Special)?;
            let request = Request::Path { access, path: name };
            call.attempts.record(request, &Decision::Refused(Reason::NeitherFileNorDirectory));
            return error(errno::ACCES);
        }
        Kind::File => {
            let allowed = (call.limits.files as u64).saturating_sub(call.files.held());
            let (stat, content) =
                files::read(&handle, allowed).map_err(|why| call.unread(&name, why, Limit::Files))?;
            let digest = Some(blake3::hash(&content));
            call.observe(&name, Seen::File { size: stat.size, digest })?;
            Open::File(File { name, stat, content, at: 0 })
        }
    };
    match call.files.add(open) {
        Some(fd) => {
            let written = memory::write_u32(m, opened, fd);
            if written.is_err() {
                call.files.close(fd);
            }
            Ok(written?)
        }
        None => error(errno::MFILE),
    }
}

pub(super) fn path_filestat_get(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    flags: u32,
    path: u32,
    len: u32,
    at: u32,
) -> Answer {
    let name = asked_for(m, call, Access::LookAt, fd, path, len)?;
    let Reached { name, handle, stat } = files::reach(call, Access::LookAt, name, flags & FOLLOW != 0)?;
    if stat.kind == Kind::Link {
        files::read_link(call, &handle, &name)?;
    } else {
        call.observe(&name, stat.seen())?;
    }
    Ok(memory::write(m, at, &filestat(call, &name, &stat))?)
}

#[expect(clippy::too_many_arguments, reason = "the interface has them")]
pub(super) fn path_readlink(
    m: &mut [u8],
    call: &mut Call,
    fd: u32,
    path: u32,
    len: u32,
    at: u32,
    room: u32,
    used: u32,
) -> Answer {
    let name = asked_for(m, call, Access::ReadLink, fd, path, len)?;
    // libc's `realpath`, behind `std::fs::canonicalize`, asks this of every directory on the way to what is granted.
    if call.rules.leads_to_granted(&name.text) {
        let request = Request::Path { access: Access::ReadLink, path: name.text };
        call.attempts.record(request, &Decision::Granted(Reason::Above));
        return error(errno::INVAL);
    }
    let Reached { name, handle, stat } = files::reach(call, Access::ReadLink, name, false)?;
    if stat.kind != Kind::Link {
        call.observe(&name, stat.seen())?;
        return error(errno::INVAL);
    }
    let to = files::read_link(call, &handle, &name)?;
    // As much as there is room for, as on Unix.
    let shown = &to.as_bytes()[..to.len().min(room as usize)];
    memory::write(m, at, shown)?;
    Ok(memory::write_u32(m, used, shown.len() as u32)?)
}
