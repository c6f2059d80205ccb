"""System calls that change files, as strace sees them: watched, counted, and made to fail."""

import os
import re
import signal
import subprocess

CALLS = ("openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,link,linkat,rename,"
         "renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,truncate,ftruncate,fallocate,"
         "chmod,fchmod,fchmodat,chown,fchown,lchown,fchownat,sendfile,sendto,copy_file_range,splice,utimensat,flock")
# Without a number where one thread is watched.
LINE = re.compile(r"(?:(\d+) +)?(\w+)\((.*)\) += (.*)$")
FAULTS = {
    "killed": "signal=SIGKILL",
    "EIO": "error=EIO",
    "ENOSPC": "error=ENOSPC",
    "EMFILE": "error=EMFILE",
}


# A name in a folder that is held open: `openat(3</spool/queue>, "ID", ...)`.
AT = re.compile(r"\b\w+at2?\(")
IN_FOLDER = re.compile(r'\d+<(/[^>]*)>, "([^"/]*)"')


def by_path(line):
    """The line as if the files in it had been called by their paths."""
    return IN_FOLDER.sub(r'"\1/\2"', line) if AT.search(line.split('"', 1)[0]) else line


class Call:
    """One call of one process, and the how-manieth of its name that it is there."""

    def __init__(self, name, arguments, result, nth):
        self.name, self.arguments, self.result, self.nth = name, arguments, result, nth

    def __str__(self):
        return f"{self.name}({self.arguments}) = {self.result}"

    def shape(self, root):
        """What is the same in every run."""
        text = f"{self.name}({self.arguments})".replace(str(root), "")
        text = re.sub(r"\d+\.\d+\.[0-9a-v]{13}", "ID", text)
        # Bytes that are written hold times and names.
        return re.sub(r"\d+", "N", re.sub(r'"(\\.|[^"\\])*"(\.\.\.)?, \d+\)$', "BYTES)", text))


class Trace:
    """What one run did."""

    def __init__(self, path):
        self.lines = [by_path(line) for line in self.whole(path.read_text(errors="replace").splitlines())]
        self.calls, counts = [], {}
        for line in self.lines:
            if found := LINE.match(line):
                pid, name, arguments, result = found.groups()
                counts[pid, name] = nth = counts.get((pid, name), 0) + 1
                self.calls.append(Call(name, arguments, result, nth))

    @staticmethod
    def whole(lines):
        """Puts calls together that another thread's came between, where they end. One in which the process was
        killed has no result."""
        found, begun = [], {}
        for line in lines:
            thread = line.split(" ", 1)[0]
            if line.endswith("<unfinished ...>"):
                begun[thread] = line.replace(" <unfinished ...>", "")
                found.append(begun[thread] + ") = ?")
            elif (end := re.match(r"\d+ +<\.\.\. \w+ resumed>(.*)", line)) and thread in begun:
                begin = begun.pop(thread)
                found.remove(begin + ") = ?")
                found.append(begin + end[1])
            else:
                found.append(line)
        return found

    def process(self):
        """The number of the first process, as it is where it runs."""
        return self.lines[0].split()[0]

    def touching(self, root):
        """The calls that name something in the folder."""
        return [call for call in self.calls if f"{root}/" in call.arguments or f"{root}/" in call.result]

    def spoilt(self):
        """The call that a fault was put into."""
        if injected := [call for call in self.calls if "(INJECTED)" in call.result]:
            return injected[0]
        killed = self.lines and self.lines[-1].endswith("+++ killed by SIGKILL +++")
        return self.calls[-1] if killed and self.calls else None

    def did(self, pattern):
        """Whether such a call succeeded."""
        return any(re.search(pattern, str(call)) and not call.result.startswith(("-1", "?")) for call in self.calls)

    def out_of_order(self, patterns):
        """The first of the patterns that no line matches behind one that matches the pattern before it."""
        lines = iter(self.lines)
        for pattern in patterns:
            if not any(re.search(pattern, line) and " = -1 " not in line for line in lines):
                return pattern
        return None

    def written_late(self):
        """What was written to a file in tmp/ after that was synced."""
        synced, late = set(), []
        for call in self.calls:
            file = re.match(r"\d+<(.*/tmp/[#\d][^/>]*)>", call.arguments)
            if file and call.name == "fsync":
                synced.add(file[1])
            elif file and "write" in call.name and file[1] in synced:
                late.append(str(call))
        return late


def traced(path, fault=None, call=None):
    """What goes before a command so that `path` gets its trace, with the fault put into the call."""
    command = ["strace", "-f", "-y", "-s", "256", "-o", str(path), "-e", f"trace={CALLS}"]
    if fault:
        command += ["-e", f"inject={call.name}:{FAULTS[fault]}:when={call.nth}"]
    return command


def run(command, environment, text=b"", limit=30):
    """Runs it to its end; returns the exit code, negative for a signal, and what it printed."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True)
    try:
        output, _ = process.communicate(text, timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output.decode(errors="replace")
    return process.returncode, output.decode(errors="replace")
