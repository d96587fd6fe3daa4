//! What a guest may reach, and why.
