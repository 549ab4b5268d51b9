//! What of the program's own file stays in memory.
//!
//! A start runs through much of the program once: the command line, flow files, the compiler's tables. The kernel maps
//! that code in pieces of 64 KiB around each place that is touched, which leaves about ten times as much mapped as
//! serving needs, in every host on the machine. Once it serves, a process lets go of the mappings; the little that is
//! run again is mapped again, from the page cache.

use std::sync::Once;

/// Lets go of mapped code and constants that only the start needed. The first call in a process does it, later ones do nothing, and
/// so does a platform that has no such mappings to tell of.
pub fn let_go_of_code() {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        #[cfg(target_os = "linux")]
        linux::let_go();
    });
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::c_void;
    use std::fs;
    use std::ops::Range;

    use rustix::mm::{Advice, madvise};

    #[expect(unsafe_code, reason = "advice about read-only mappings of a file, see below")]
    pub(super) fn let_go() {
        let own = fs::read_link("/proc/self/exe").ok();
        let (Some(own), Ok(maps)) =
            (own.as_deref().and_then(|own| own.to_str()), fs::read_to_string("/proc/self/maps"))
        else {
            return;
        };
        for Range { start, end } in maps.lines().filter_map(|line| unchanged(line, own)) {
            // SAFETY: the range is a private mapping of a file that the process cannot write to, so no page of it
            // differs from the file, and the kernel reads each page from there when it is touched again.
            let advised = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
            if let Err(error) = advised {
                tracing::debug!(%error, "the code of the start stays mapped");
            }
        }
    }

    /// The addresses of one line of the kernel's table if they hold what the file of the program `own` holds there: its
    /// code, and its constants, with which the file begins. Other data that is only read now had addresses written into
    /// it by the loader, so it is not among them.
    fn unchanged(line: &str, own: &str) -> Option<Range<usize>> {
        let (addresses, rest) = line.split_once(' ')?;
        let (permissions, rest) = rest.split_once(' ')?;
        let (offset, rest) = rest.split_once(' ')?;
        let is_as_in_the_file = match permissions {
            "r-xp" => true,
            "r--p" => offset.bytes().all(|digit| digit == b'0'),
            _ => false,
        };
        if !is_as_in_the_file || rest.splitn(3, ' ').nth(2)?.trim_start() != own {
            return None;
        }
        let (start, end) = addresses.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        (range.start < range.end).then_some(range)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_what_is_as_in_the_programs_file_is_meant() {
            let check = |line: &str, expected: Option<Range<usize>>| {
                assert_eq!(unchanged(line, "/opt/lock gate"), expected, "{line}");
            };
            check(
                "1000-3000 r-xp 00b60000 fe:00 1234                       /opt/lock gate",
                Some(0x1000..0x3000),
            );
            check("1000-3000 r--p 00b60000 fe:00 1234                       /opt/lock gate", None);
            check(
                "1000-3000 r--p 00000000 fe:00 1234                       /opt/lock gate",
                Some(0x1000..0x3000),
            );
            check("1000-3000 rw-p 00000000 fe:00 1234                       /opt/lock gate", None);
            check("1000-3000 rwxp 00b60000 fe:00 1234                       /opt/lock gate", None);
            check("1000-3000 r-xp 00b60000 fe:00 1234                       /opt/lock gate (deleted)", None);
            check("1000-3000 r-xp 00b60000 fe:00 1234                       /opt/other", None);
            check("1000-3000 r-xp 00000000 00:00 0 ", None);
            check("3000-1000 r-xp 00b60000 fe:00 1234                       /opt/lock gate", None);
            check("", None);
        }

        #[test]
        fn the_program_goes_on_without_its_mappings() {
            let own = fs::read_link("/proc/self/exe").unwrap();
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            assert!(maps.lines().any(|line| unchanged(line, own.to_str().unwrap()).is_some()), "{maps}");
            super::super::let_go_of_code();
            super::super::let_go_of_code();
            assert_eq!((1..=10).product::<u32>(), 3_628_800);
        }
    }
}
