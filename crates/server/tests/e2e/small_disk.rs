//! A real small file system for scenarios, not a mock.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::Command;

/// Tells the child where its small file system is; the scenarios do nothing without it.
const PLACE: &str = "SILICA_E2E_SMALL_DISK";

/// Runs a scenario in a child with a mount namespace of its own and a tmpfs of so many MiB in it.
pub(crate) fn on_a_small_disk(scenario: &str, mebibytes: u32) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(r#"mount -t tmpfs -o size={mebibytes}m none "$0" && exec "$@""#);
    let unshared = || {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", &script]).arg(folder.path());
        command
    };
    match unshared().arg("true").output() {
        Ok(output) if output.status.success() => {}
        refused => {
            let _told = writeln!(
                std::io::stderr(),
                "SKIPPED: THE FULL DISK WAS NOT TESTED, the kernel gives no small file system: {refused:?}"
            );
            return;
        }
    }
    let status = unshared()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", scenario, "--nocapture"])
        .env(PLACE, folder.path())
        .status()
        .unwrap();
    assert!(status.success(), "{scenario}: {status}");
}

/// The small disk of a scenario.
pub(crate) struct SmallDisk {
    pub(crate) folder: PathBuf,
}

impl SmallDisk {
    /// `None` outside of a child of [`on_a_small_disk`].
    pub(crate) fn given() -> Option<Self> {
        let folder = PathBuf::from(std::env::var_os(PLACE)?);
        Some(Self { folder })
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Takes the last byte.
    pub(crate) fn fill(&self) {
        let mut file = File::create(self.ballast()).unwrap();
        let mut size = 64 << 10;
        while size > 0 {
            match file.write(&vec![1; size]) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub(crate) fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}
