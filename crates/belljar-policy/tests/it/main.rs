//! What users rely on in a policy.

mod edit;
mod errors;
mod loading;
mod patterns;
mod profiles;
mod reference;
mod support;
mod unused;
