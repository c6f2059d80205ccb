//! Behaviour, through the real binary: real processes, real files, real sockets, real TLS.

mod house;
mod queue;
