//! What may happen to a spool, and how often.

use proptest::prelude::*;

use super::WRITERS;
use super::message::RECIPIENTS;

/// The numbers say which of those that there are: a writer, a file of a folder, a recipient.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Begin(usize),
    Commit(usize, Before),
    Abandon(usize),
    /// Something gets the name that the writer has reserved.
    Plant(usize, Folder),
    Deliver(usize, Turn),
    TakeOut(usize),
    PutBack(usize),
    /// From `failed/` to `queue/`.
    TryAgain(usize),
    Touch(usize),
    /// As `cp -p` and a backup do.
    Restore(usize),
    /// A tool puts a message under a name that was told before.
    Reuse(usize),
    Tidy(u16),
    Restart,
    Expire,
}

/// What is known of a message before it is queued.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before {
    Nothing,
    Asked,
    Served,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Folder {
    Queue,
    Failed,
    Status,
}

/// What the daemon does with a message that it has opened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    Look,
    Serve(usize),
    Defer(usize),
    Refuse(usize),
    /// Serves all who wait, and removes it.
    Finish,
    /// Serves this one, refuses all others who wait, and sets it aside.
    GiveUp(usize),
    /// The same, where meanwhile another file gets the name.
    FinishReplaced,
    GiveUpReplaced,
    /// Killed after the mail is removed, or moved, and before its journal is seen to.
    FinishCut,
    GiveUpCut,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let which = 0_usize..8;
    let before = prop_oneof![Just(Before::Nothing), Just(Before::Asked), Just(Before::Served)];
    let folder = prop_oneof![Just(Folder::Queue), Just(Folder::Failed), Just(Folder::Status)];
    let turn = prop_oneof![
        Just(Turn::Look),
        (0..RECIPIENTS).prop_map(Turn::Serve),
        (0..RECIPIENTS).prop_map(Turn::Defer),
        (0..RECIPIENTS).prop_map(Turn::Refuse),
        Just(Turn::Finish),
        (0..=RECIPIENTS).prop_map(Turn::GiveUp),
        Just(Turn::FinishReplaced),
        Just(Turn::GiveUpReplaced),
        Just(Turn::FinishCut),
        Just(Turn::GiveUpCut),
    ];
    prop_oneof![
        4 => (0..WRITERS).prop_map(Step::Begin),
        6 => (0..WRITERS, before).prop_map(|(writer, before)| Step::Commit(writer, before)),
        1 => (0..WRITERS).prop_map(Step::Abandon),
        2 => (0..WRITERS, folder).prop_map(|(writer, folder)| Step::Plant(writer, folder)),
        12 => (which.clone(), turn).prop_map(|(which, turn)| Step::Deliver(which, turn)),
        2 => which.clone().prop_map(Step::TakeOut),
        3 => which.clone().prop_map(Step::PutBack),
        4 => which.clone().prop_map(Step::TryAgain),
        2 => which.clone().prop_map(Step::Touch),
        2 => which.clone().prop_map(Step::Restore),
        4 => which.prop_map(Step::Reuse),
        2 => (0_u16..10_000).prop_map(Step::Tidy),
        1 => Just(Step::Restart),
        1 => Just(Step::Expire),
    ]
}
