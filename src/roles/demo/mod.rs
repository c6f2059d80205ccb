//! `nullmailer demo`: the whole way of a message, shown. Needs no configuration and no root.
//!
//! It makes a throw-away installation, plays the smarthost itself, and lets this very binary
//! inject and deliver a message as it would anywhere else, in processes of their own.

mod certificate;
mod sink;

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ArgMatches;

use self::sink::{Sink, Taken};
use crate::exit::{Exit, Failure};

const SAMPLE: &str = "\
From: Demo <demo@demo.example>
To: you@demo.example
Subject: It works

This message was injected, queued, and delivered over SMTP with STARTTLS.
.
The line above is a single dot, which SMTP has to protect.
";

pub(super) fn run(options: &ArgMatches) -> Result<Exit, Failure> {
    match demonstrate(options.get_flag("keep")) {
        Ok(()) => Ok(Exit::Ok),
        Err(error) => Err(Failure::new(Exit::Software, format_args!("demo: {error:#}"))),
    }
}

fn demonstrate(keep: bool) -> Result<()> {
    let message = message()?;
    let mut house = tempfile::tempdir().context("cannot make a folder")?;
    house.disable_cleanup(keep);
    let house = house.path();
    for folder in ["conf", "queue", "protocols", "bin", "sbin"] {
        fs::create_dir(house.join(folder)).context("cannot make the installation")?;
    }
    let sink = Sink::start(&house.join("conf/smarthost.der"))?;
    let remote = format!(
        "127.0.0.1 smtp port={} starttls x509fmtder x509cafile={}\n",
        sink.port(),
        shell_words::quote(&house.join("conf/smarthost.der").to_string_lossy())
    );
    for (name, content) in
        [("me", "demo.example\n"), ("remotes", remote.as_str()), ("pausetime", "0\n")]
    {
        fs::write(house.join("conf").join(name), content).context("cannot write a control file")?;
    }

    stage("An installation in a folder of its own", &house.display().to_string())?;
    stage("Its control file remotes", &remote)?;
    stage("The message", &message)?;

    let injected = run_self(house, &["inject", "-b", "you@demo.example"], message.as_bytes())?;
    ensure!(injected.status.success(), "nullmailer-inject: {}", said(&injected));
    let (name, queued) = only_queued(house)?;
    stage(&format!("nullmailer-inject has queued it as {name}"), &queued)?;

    let sent = run_self(house, &["send"], b"")?;
    ensure!(sent.status.success(), "nullmailer-send: {}", said(&sent));
    stage("nullmailer-send has delivered the queue", &String::from_utf8_lossy(&sent.stdout))?;

    let Taken { dialogue, messages } = sink.stop();
    stage("What smarthost (S) and nullmailer (C) said, over TLS after STARTTLS", &dialogue)?;
    let [arrived] = messages.as_slice() else {
        bail!("the smarthost took {} messages, not one", messages.len());
    };
    stage("The message as the smarthost got it", arrived)?;

    let (_, expected) = queued.split_once("\n\n").context("the queue file has no envelope")?;
    ensure!(arrived == expected, "the message that arrived is not the one that was queued");
    ensure!(fs::read_dir(house.join("queue/queue"))?.next().is_none(), "the queue is not empty");
    stage("It arrived intact, and the queue is empty.", "")
}

/// What stdin gives, if it is a file or a pipe with something in it; else the sample.
fn message() -> Result<String> {
    let mut given = String::new();
    if !io::stdin().is_terminal() {
        io::stdin().read_to_string(&mut given).context("cannot read the message")?;
    }
    Ok(if given.is_empty() { SAMPLE.to_owned() } else { given })
}

/// Runs this binary in the installation, with nothing of our environment that could lead it away.
fn run_self(house: &Path, args: &[&str], input: &[u8]) -> Result<Output> {
    let program = program().context("cannot find this program")?;
    let mut command = Command::new(program);
    command.args(args).env_clear().env("NULLMAILER_TEST_PREFIX", house);
    for kept in ["PATH", "TZ", "USER", "LOGNAME"] {
        command.envs(env::var_os(kept).map(|value| (OsStr::new(kept), value)));
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", args[0]))?;
    // A child that fails early closes its end; what it says on stderr tells more than that.
    let _ = child.stdin.take().context("no pipe")?.write_all(input);
    child.wait_with_output().with_context(|| format!("cannot run {}", args[0]))
}

/// This very binary. Without /proc only the path that it was called by tells.
fn program() -> io::Result<PathBuf> {
    env::current_exe().or_else(|error| {
        let called = env::args_os().next().map(PathBuf::from);
        called.filter(|path| path.components().count() > 1).ok_or(error)
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
}

fn only_queued(house: &Path) -> Result<(String, String)> {
    let mut entries = fs::read_dir(house.join("queue/queue"))?;
    let entry = entries.next().context("nothing was queued")??;
    let content = fs::read(entry.path())?;
    let name = entry.file_name().to_string_lossy().into_owned();
    Ok((name, String::from_utf8_lossy(&content).into_owned()))
}

/// Prints one stage: a title, and what there is to see, set in.
fn stage(title: &str, text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "== {title}")?;
    for line in text.lines() {
        writeln!(out, "   {line}")?;
    }
    if !text.is_empty() {
        writeln!(out)?;
    }
    Ok(())
}
