//! seccomp: system calls that a daemon of ours has no use for. They fail with EPERM, as a kernel does that forbids
//! them to this user, so that a library which tries one goes on without.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Other processes, the machine, the kernel's larger and less tested parts.
const REFUSED: &[i64] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_personality,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_memfd_secret,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
];

/// Unless a protocol program or a passcmd is to be run. Whoever is not to run anything has nobody to become, either;
/// but root uses a spool with the rights of its owner (setfsuid).
const PROGRAMS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
];

/// The calls of x86-64 have second numbers, with this bit, for programs with short pointers.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Where those are not the first ones with the bit: execve, ptrace, kexec_load, process_vm_readv and -writev, execveat.
#[cfg(target_arch = "x86_64")]
const X32_ONLY: &[(i64, i64)] = &[
    (libc::SYS_execve, 520),
    (libc::SYS_ptrace, 521),
    (libc::SYS_kexec_load, 528),
    (libc::SYS_process_vm_readv, 539),
    (libc::SYS_process_vm_writev, 540),
    (libc::SYS_execveat, 545),
];

/// New mount, cgroup, UTS, IPC, user, PID and network namespaces.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Limits all threads of this process, and all that they start.
pub(super) fn restrict(programs: bool) -> Result<(), String> {
    let machine =
        if cfg!(target_arch = "x86_64") { TargetArch::x86_64 } else { TargetArch::aarch64 };
    let install = || -> Result<(), Error> {
        apply_filter_all_threads(&filter(refused(programs)?, libc::EPERM, machine)?)?;
        // What clone3 is asked for a filter cannot see. The C library then uses clone.
        let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
        apply_filter_all_threads(&filter(clone3, libc::ENOSYS, machine)?)
    };
    install().map_err(|error| format!("no seccomp: {error}"))
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn refused(programs: bool) -> Result<Rules, Error> {
    let more = if programs { &[] } else { PROGRAMS };
    let mut rules: Rules = REFUSED.iter().chain(more).map(|number| (*number, Vec::new())).collect();
    let mut namespaces = Vec::new();
    for flag in NAMESPACES {
        let flag = u64::from(flag.unsigned_abs());
        let is_set = SeccompCmpOp::MaskedEq(flag);
        let asked = SeccompCondition::new(0, SeccompCmpArgLen::Qword, is_set, flag)?;
        namespaces.push(SeccompRule::new(vec![asked])?);
    }
    rules.insert(libc::SYS_clone, namespaces);
    #[cfg(target_arch = "x86_64")]
    {
        let second: Vec<_> = rules
            .iter()
            .map(|(number, rule)| {
                let known = X32_ONLY.iter().find(|(first, _)| first == number);
                (X32 | known.map_or(*number, |(_, second)| *second), rule.clone())
            })
            .collect();
        rules.extend(second);
    }
    Ok(rules)
}

fn filter(rules: Rules, errno: i32, machine: TargetArch) -> Result<BpfProgram, Error> {
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    Ok(SeccompFilter::new(rules, SeccompAction::Allow, refusal, machine)?.try_into()?)
}
