//! On which processor this thread is: std does not tell.

#![allow(unsafe_code)]

unsafe extern "C" {
    /// Source: sched_getcpu(3). It takes nothing and changes nothing.
    safe fn sched_getcpu() -> i32;
}

pub(super) fn current() -> Option<u16> {
    u16::try_from(sched_getcpu()).ok()
}
