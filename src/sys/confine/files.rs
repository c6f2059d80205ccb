//! Landlock: which files, and which TCP ports.

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Allowed;

/// The newest whose rights are asked for. An older kernel limits what it knows.
const NEWEST: ABI = ABI::V6;

/// Limits this thread and those it will start. The kernel's ABI, or why there is no limit.
pub(super) fn restrict(allowed: &Allowed) -> Result<ABI, String> {
    let status = rules(allowed)
        .and_then(RulesetCreated::restrict_self)
        .map_err(|error| format!("no Landlock: {error}"))?;
    match (status.ruleset, status.landlock.into()) {
        (RulesetStatus::NotEnforced, ABI::Unsupported) => Err("the kernel has no Landlock".into()),
        // It would forbid every link from one folder to another, and so every bounce.
        (RulesetStatus::NotEnforced, _) => Err("the kernel's Landlock is too old".into()),
        (_, abi) => Ok(abi),
    }
}

fn rules(allowed: &Allowed) -> Result<RulesetCreated, RulesetError> {
    let mut rules = Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?;
    if allowed.ports.is_some() {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    rules = rules.scope(Scope::Signal)?;
    let mut rules = rules.create()?;
    let read = if allowed.programs {
        AccessFs::from_read(NEWEST)
    } else {
        AccessFs::ReadFile | AccessFs::ReadDir
    };
    // A symbolic link that somebody put into the queue is moved aside, which counts as making one.
    let special = AccessFs::MakeChar | AccessFs::MakeBlock;
    let write = AccessFs::from_write(NEWEST) & !special;
    for path in &allowed.reads {
        rules = allow(rules, path, read)?;
    }
    for path in &allowed.writes {
        rules = allow(rules, path, read | write)?;
    }
    for port in allowed.ports.iter().flatten() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    if allowed.ports.is_some() {
        // A remote's `source` is bound to no port of its own.
        rules = rules.add_rule(NetPort::new(0, AccessNet::BindTcp))?;
    }
    Ok(rules)
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(opened) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(opened, access))
}

pub(super) fn knows_tcp(abi: ABI) -> bool {
    abi >= ABI::V4
}

pub(super) fn describe(abi: ABI, ports: bool) -> String {
    let mut limits = vec!["files"];
    if ports {
        limits.push("tcp");
    }
    if abi >= ABI::V6 {
        limits.push("signals");
    }
    format!("landlock ABI {} ({})", abi as i32, limits.join(", "))
}
