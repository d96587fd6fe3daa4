//! Where the thread that serves a shim waits: on the compiler's own processor.
//!
//! Of the two, one works while the other one waits. Where the scheduler has them on two processors, each message wakes one that
//! has nothing to do, which takes long on virtual machines: up to a millisecond, where a remembered expansion takes some 50 µs. So
//! this thread keeps to where the compiler is, which waits when it works. To start threads, it may go anywhere again: they inherit that.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Of the calling thread: it must not be used by another one.
#[derive(Debug, Default)]
pub(crate) struct Near {
    /// The processors that it may use.
    usual: Option<CpuSet>,
    /// The one to which it keeps now.
    kept: Option<usize>,
}

impl Near {
    /// Waits on this processor from now on, if it may. Where that fails, it stays as it is.
    pub(crate) fn keep_to(&mut self, processor: Option<u16>) {
        let Some(processor) = processor.map(usize::from).filter(|&at| at < CpuSet::MAX_CPU) else { return };
        if self.kept == Some(processor) {
            return;
        }
        if self.usual.is_none() {
            self.usual = sched_getaffinity(None).ok();
        }
        if self.usual.is_some_and(|usual| usual.is_set(processor)) {
            let mut only = CpuSet::new();
            only.set(processor);
            if sched_setaffinity(None, &only).is_ok() {
                self.kept = Some(processor);
            }
        }
    }

    /// May use all of them again.
    pub(crate) fn go_anywhere(&mut self) {
        if let (Some(_), Some(usual)) = (self.kept.take(), &self.usual) {
            // What was allowed before is allowed.
            let _ = sched_setaffinity(None, usual);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn processors() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|&at| set.is_set(at)).collect()
    }

    #[test]
    fn a_thread_keeps_to_a_processor_and_is_free_again() {
        let thread = std::thread::spawn(|| {
            let all = processors();
            let mut near = Near::default();
            near.keep_to(None);
            near.keep_to(Some(u16::MAX));
            assert_eq!(processors(), all);
            for &at in &all {
                near.keep_to(u16::try_from(at).ok());
                assert_eq!(processors(), [at]);
            }
            near.go_anywhere();
            assert_eq!(processors(), all);
            near.go_anywhere();
            assert_eq!(processors(), all);
        });
        thread.join().unwrap();
    }
}
