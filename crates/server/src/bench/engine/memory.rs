//! Memory of this process, as the kernel counts it.

use anyhow::Context as _;

/// Resident memory now, in megabytes (10^6 bytes); `None` where the system is not Linux.
pub(super) fn resident() -> anyhow::Result<Option<f64>> {
    field("VmRSS:")
}

/// The most resident memory there was, in megabytes (10^6 bytes); `None` where the system is not
/// Linux.
pub(super) fn peak() -> anyhow::Result<Option<f64>> {
    field("VmHWM:")
}

fn field(name: &str) -> anyhow::Result<Option<f64>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    megabytes(&status, name).map(Some)
}

/// Reads a field of `/proc/self/status`, which is in kibibytes.
fn megabytes(status: &str, name: &str) -> anyhow::Result<f64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name));
    let value = value.with_context(|| format!("/proc/self/status has no {name}"))?;
    let kibibytes: f64 = value
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()
        .with_context(|| format!("{name}{value} is no number of kilobytes"))?;
    Ok(kibibytes * 1024.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kibibytes_become_megabytes() {
        let status = "Name:\tsilica\nVmHWM:\t 1000000 kB\nVmRSS:\t  2000 kB\n";
        assert!((megabytes(status, "VmRSS:").unwrap() - 2.048).abs() < 1e-9);
        assert!((megabytes(status, "VmHWM:").unwrap() - 1024.0).abs() < 1e-9);
        assert!(megabytes(status, "VmSwap:").is_err());
    }
}
