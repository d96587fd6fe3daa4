//! The thread that writes: nobody who expands a macro waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::database::Database;
use super::seal::Seal;

/// Changes in one transaction, at most.
const BATCH: usize = 256;

/// Bytes of entries that may wait to be written. What comes when there are more is not remembered.
const WAITING: usize = 64 << 20;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Change {
    Keep { key: [u8; 32], variant: [u8; 32], body: Vec<u8> },
    Used { key: [u8; 32], variant: [u8; 32] },
    Forget { key: [u8; 32], variant: [u8; 32] },
    File { path: [u8; 32], identity: Vec<u8>, digest: [u8; 32] },
    Count { remembered: u64, run: u64, verified: u64 },
}

impl Change {
    /// Bytes of the entry, if it is one.
    fn bytes(&self) -> usize {
        match self {
            Self::Keep { body, .. } => body.len(),
            _ => 0,
        }
    }
}

/// A change as the database has it: compressed and sealed before anything is locked.
#[derive(Debug)]
pub(super) enum Row {
    Keep { key: [u8; 32], variant: [u8; 32], sealed: Vec<u8> },
    Used { key: [u8; 32], variant: [u8; 32] },
    Forget { key: [u8; 32], variant: [u8; 32] },
    File { path: [u8; 32], identity: Vec<u8>, sealed: Vec<u8> },
    Count { remembered: u64, run: u64, verified: u64 },
}

impl Row {
    fn of(change: Change, seal: &Seal) -> Option<Self> {
        Some(match change {
            Change::Keep { key, variant, body } => {
                Self::Keep { key, variant, sealed: seal.close(&key, &variant, &body)? }
            }
            Change::Used { key, variant } => Self::Used { key, variant },
            Change::Forget { key, variant } => Self::Forget { key, variant },
            Change::File { path, identity, digest } => {
                let sealed = seal.close_digest(&path, &identity, &digest);
                Self::File { path, identity, sealed }
            }
            Change::Count { remembered, run, verified } => Self::Count { remembered, run, verified },
        })
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    changes: Sender<Change>,
    /// Bytes of entries that were sent and are not written.
    waiting: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Writer {
    /// `None` where no thread can be had, or the database can't be written.
    pub(super) fn start(
        database: &Database,
        seal: &Seal,
        allowed: u64,
        processors: Option<CpuSet>,
    ) -> Option<Self> {
        let mut database = database.for_writing().ok()?;
        let seal = seal.clone();
        let (changes, received) = channel();
        let waiting = Arc::default();
        let of_thread = Arc::clone(&waiting);
        let run = move || {
            if let Some(processors) = processors {
                // It may have inherited fewer.
                let _ = sched_setaffinity(None, &processors);
            }
            write(&mut database, &seal, allowed, &received, &of_thread);
        };
        let thread = std::thread::Builder::new().name("belljar cache".to_owned()).spawn(run).ok()?;
        Some(Self { changes, waiting, thread })
    }

    pub(super) fn send(&self, change: Change) {
        if self.waiting.load(Ordering::Relaxed).saturating_add(change.bytes()) > WAITING {
            return;
        }
        self.waiting.fetch_add(change.bytes(), Ordering::Relaxed);
        // Whoever is gone has found the database unusable.
        let _ = self.changes.send(change);
    }

    /// Waits until everything is written.
    pub(super) fn finish(self) {
        drop(self.changes);
        let _ = self.thread.join();
    }
}

fn write(
    database: &mut Database,
    seal: &Seal,
    allowed: u64,
    changes: &Receiver<Change>,
    waiting: &AtomicUsize,
) {
    while let Ok(first) = changes.recv() {
        let batch = std::iter::once(first).chain(changes.try_iter()).take(BATCH);
        let mut bytes = 0;
        let rows: Vec<Row> = batch
            .filter_map(|change| {
                bytes += change.bytes();
                Row::of(change, seal)
            })
            .collect();
        // What is not written is not remembered. Where the file is damaged, who reads it finds out; where it can't be had or
        // written now, nobody waits for it again.
        if database.write(&rows).is_err() {
            return;
        }
        waiting.fetch_sub(bytes, Ordering::Relaxed);
        if database.size().is_ok_and(|size| size > allowed) && database.evict(allowed).is_err() {
            return;
        }
    }
}
