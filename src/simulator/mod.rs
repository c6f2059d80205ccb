//! The engine simulator: the real `delivery/` under a virtual clock, with the real SMTP client over
//! connections in memory and a real spool, in worlds that are drawn from a seed.
//!
//! A [`plan`] says what happens; [`world`] plays it; [`laws`] must hold whatever happens. It stands beside
//! the rooms and not in one: like a role it puts a daemon together, and knows of the engine no more than a
//! role does. Nothing of it is in a program.

mod config;
mod dialogue;
mod director;
mod draw;
mod facts;
mod keeper;
mod laws;
mod network;
mod news;
mod plan;
mod post;
mod random;
mod record;
mod scenarios;
mod talk;
mod tests;
mod world;
