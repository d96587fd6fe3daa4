//! Modules and their native code on disk: content-addressed, checked on the way out.
