//! What the system knows about a process: whether it lives, and how much memory it holds.

use std::process::Command;

/// Bytes of memory that the process holds now; none when it is gone.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        return line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib * 1024);
    }
    let output = Command::new("ps").args(["-o", "rss=", "-p", &pid.to_string()]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Kills every process of a group; one that is gone already is no matter.
pub fn kill_group(group: u32) {
    Command::new("sh").args(["-c", &format!("kill -KILL -- -{group} 2>/dev/null")]).status().ok();
}

/// Sends a signal by name, such as `TERM`.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status();
    match status {
        Ok(status) if status.success() => {}
        other => panic!("cannot send SIG{name} to process {pid}: {other:?}"),
    }
}
