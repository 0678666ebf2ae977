//! The determinism kit: what keeps two processes equal although libraries draw entropy.
//!
//! **Problem.** Our own code takes randomness and time from its machine. Libraries do not: hash maps draw keys, `select!`
//! draws a branch, ids and timestamps come from the system. **What fails.** A compiler flag with a seeded runtime closes
//! some of it, and `cargo install` and users of the library do not have it. **What we do.** On Linux this file defines
//! `getrandom`, `getentropy` and `clock_gettime` itself. While a thread is inside a world they are answered from the seed
//! and from virtual time; everywhere else they are the plain system calls. State is per thread: a terminal, a proxy or a
//! load generator in the same process keeps the real clock.
//!
//! Hash keys advance within a thread, so each seed gets a fresh one. Addresses are random too ([`fix_addresses`] turns that
//! off for the process), and a *raw* `SYS_getrandom` passes by all of this ([`strict`] traps it). Elsewhere than on Linux
//! the kit does nothing, and two processes may differ.
//!
//! This is the one file with `unsafe` code.
#![expect(
    unsafe_code,
    reason = "symbols of libc are replaced, and seccomp has no safe interface; nothing else needs it"
)]

/// While it lives, this thread's entropy and clocks belong to a world.
#[must_use = "the kit works only while it is held"]
#[derive(Debug)]
pub struct Inside(());

/// Gives this thread's entropy and clocks to the run of `seed`. Clocks stand still until the world's own begins.
///
/// # Panics
/// If the thread is inside a world already.
pub fn enter(seed: u64) -> Inside {
    platform::enter(seed);
    Inside(())
}

impl Drop for Inside {
    fn drop(&mut self) {
        platform::leave();
    }
}

/// How many draws of entropy and looks at the clock this thread's world has answered: for tests and curiosity.
pub fn answered() -> (u64, u64) {
    platform::answered()
}

/// Turns address randomisation off by starting the program anew, once. Call it first thing in `main`; it returns in the
/// program that goes on. `Err` says why addresses stay random; runs are then still equal unless something orders by address.
///
/// # Errors
/// If the system does not let the program change its personality or start itself.
pub fn fix_addresses() -> Result<(), String> {
    platform::fix_addresses()
}

/// Makes this thread abort, with a backtrace, when it makes a thread or a socket, sleeps for real, or opens a file for
/// writing; raw `SYS_getrandom` is answered from the seed. It cannot be taken back: use it on a seed's own thread.
///
/// # Errors
/// If the system has no seccomp filters.
pub fn strict() -> Result<(), String> {
    platform::strict()
}

#[cfg(not(target_os = "linux"))]
mod platform {
    pub(super) fn enter(_: u64) {}
    pub(super) fn leave() {}
    pub(super) fn answered() -> (u64, u64) {
        (0, 0)
    }
    pub(super) fn fix_addresses() -> Result<(), String> {
        Err("address randomisation can be switched off on Linux only".into())
    }
    pub(super) fn strict() -> Result<(), String> {
        Err("the strict mode needs Linux".into())
    }
}

#[cfg(target_os = "linux")]
mod platform {
    use std::cell::Cell;

    use libc::{c_int, c_void, clockid_t, size_t, ssize_t, timespec};

    use crate::world::clock;

    /// Set in the program that was started anew, so that it is not started a third time.
    const STARTED_ANEW: &str = "BACKROOM_ADDRESSES_FIXED";
    /// What monotonic clocks show at the start of a world, in seconds; real time shows as much after 1970.
    const CLOCK_START_S: i64 = 1_000_000;

    // Constant initialisers and no destructors: these are read while a thread is born or dies, too.
    thread_local! {
        static INSIDE: Cell<bool> = const { Cell::new(false) };
        static STATE: Cell<u64> = const { Cell::new(0) };
        static DRAWS: Cell<u64> = const { Cell::new(0) };
        static LOOKS: Cell<u64> = const { Cell::new(0) };
    }

    pub(super) fn enter(seed: u64) {
        assert!(!INSIDE.get(), "this thread is inside a world already");
        STATE.set(seed ^ 0x6261_636b_726f_6f6d);
        DRAWS.set(0);
        LOOKS.set(0);
        INSIDE.set(true);
    }

    pub(super) fn leave() {
        INSIDE.set(false);
    }

    pub(super) fn answered() -> (u64, u64) {
        (DRAWS.get(), LOOKS.get())
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): library keys need to be equal in two runs, not secret.
    fn next() -> u64 {
        let state = STATE.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        STATE.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// # Safety
    /// `buffer` must be valid for `len` bytes of writes.
    unsafe fn fill(buffer: *mut u8, len: usize) {
        DRAWS.set(DRAWS.get() + 1);
        let mut done = 0;
        while done < len {
            let bytes = next().to_le_bytes();
            let n = (len - done).min(bytes.len());
            // SAFETY: `done + n <= len`, and the caller vouches for `len` bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.add(done), n) };
            done += n;
        }
    }

    /// Replaces libc's `getrandom(2)` wrapper.
    ///
    /// # Safety
    /// As the system call: `buffer` must be valid for `len` bytes of writes.
    #[unsafe(no_mangle)]
    pub(super) unsafe extern "C" fn getrandom(
        buffer: *mut c_void,
        len: size_t,
        flags: u32,
    ) -> ssize_t {
        if INSIDE.get() {
            // SAFETY: the caller's promise.
            unsafe { fill(buffer.cast(), len) };
            return len as ssize_t;
        }
        // SAFETY: the system call itself checks its arguments.
        unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) as ssize_t }
    }

    /// Replaces libc's `getentropy(3)`.
    ///
    /// # Safety
    /// As [`getrandom`].
    #[unsafe(no_mangle)]
    pub(super) unsafe extern "C" fn getentropy(buffer: *mut c_void, len: size_t) -> c_int {
        // SAFETY: the caller's promise.
        match unsafe { getrandom(buffer, len, 0) } == len as ssize_t {
            true => 0,
            false => -1,
        }
    }

    /// Replaces libc's `clock_gettime(2)` wrapper.
    ///
    /// # Safety
    /// As the system call: `time` must be valid for writes.
    #[unsafe(no_mangle)]
    pub(super) unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
        let wall = matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE);
        let steady = matches!(
            clock,
            libc::CLOCK_MONOTONIC
                | libc::CLOCK_MONOTONIC_RAW
                | libc::CLOCK_MONOTONIC_COARSE
                | libc::CLOCK_BOOTTIME
        );
        if !INSIDE.get() || !(wall || steady) {
            // SAFETY: the system call itself checks its arguments.
            return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as c_int };
        }
        LOOKS.set(LOOKS.get() + 1);
        // The runtime looks twice for each batch of tasks.
        let since = clock::now();
        // SAFETY: the caller's promise.
        unsafe {
            (*time).tv_sec = CLOCK_START_S + since.as_secs() as i64;
            (*time).tv_nsec = i64::from(since.subsec_nanos());
        }
        0
    }

    pub(super) fn fix_addresses() -> Result<(), String> {
        use std::os::unix::process::CommandExt as _;

        const ASK: libc::c_ulong = 0xffff_ffff;
        // SAFETY: personality changes flags of this process only, and takes any argument.
        let before = unsafe { libc::personality(ASK) };
        if before & libc::ADDR_NO_RANDOMIZE != 0 {
            return Ok(());
        }
        if std::env::var_os(STARTED_ANEW).is_some() {
            return Err("addresses are random although this program asked for fixed ones".into());
        }
        // SAFETY: as above.
        let after =
            unsafe { libc::personality((before | libc::ADDR_NO_RANDOMIZE) as libc::c_ulong) };
        if after == -1 {
            return Err(format!(
                "switch off address randomisation: {}",
                std::io::Error::last_os_error()
            ));
        }
        let mut args = std::env::args_os();
        let name = args.next().unwrap_or_default();
        let error = std::process::Command::new("/proc/self/exe")
            .arg0(name)
            .args(args)
            .env(STARTED_ANEW, "1")
            .exec();
        Err(format!("start this program anew: {error}"))
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn strict() -> Result<(), String> {
        Err("the strict mode knows the registers of x86_64 only".into())
    }

    #[cfg(target_arch = "x86_64")]
    pub(super) fn strict() -> Result<(), String> {
        traps::install()
    }

    /// The seccomp filter and its signal handler.
    #[cfg(target_arch = "x86_64")]
    mod traps {
        use libc::{c_int, c_void, siginfo_t, sock_filter, sock_fprog};

        /// Offsets in `struct seccomp_data` (linux/seccomp.h).
        const NUMBER: u32 = 0;
        const THIRD_ARGUMENT: u32 = 16 + 2 * 8;

        const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
        const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const IF_SET: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

        const FORBIDDEN: [i64; 9] = [
            libc::SYS_getrandom,
            libc::SYS_socket,
            libc::SYS_connect,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_fork,
            libc::SYS_nanosleep,
            libc::SYS_clock_nanosleep,
            libc::SYS_epoll_create1,
        ];

        fn op(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
            sock_filter { code, jt, jf, k }
        }

        pub(super) fn install() -> Result<(), String> {
            let n = FORBIDDEN.len() as u8;
            let mut filter = vec![op(LOAD, NUMBER, 0, 0)];
            for (i, call) in (0..).zip(FORBIDDEN) {
                // To the trap, behind the other numbers, the two checks of openat and the permission.
                filter.push(op(IF_EQUAL, call as u32, n - i + 3, 0));
            }
            filter.push(op(IF_EQUAL, libc::SYS_openat as u32, 0, 2));
            filter.push(op(LOAD, THIRD_ARGUMENT, 0, 0));
            let writing = (libc::O_WRONLY | libc::O_RDWR) as u32;
            filter.push(op(IF_SET, writing, 1, 0));
            filter.push(op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0));
            filter.push(op(RETURN, libc::SECCOMP_RET_TRAP, 0, 0));

            // SAFETY: the handler is async-signal-safe in what it does before it exits; the filter outlives the call,
            // which copies it.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = trapped as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
                if libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) != 0 {
                    return Err(last("handle SIGSYS"));
                }
                if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                    return Err(last("give up new privileges"));
                }
                let program = sock_fprog {
                    len: filter.len() as u16,
                    filter: filter.as_mut_ptr(),
                };
                let mode = libc::SECCOMP_MODE_FILTER;
                if libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) != 0 {
                    return Err(last("install a seccomp filter"));
                }
            }
            Ok(())
        }

        fn last(what: &str) -> String {
            format!("{what}: {}", std::io::Error::last_os_error())
        }

        extern "C" fn trapped(_: c_int, info: *mut siginfo_t, context: *mut c_void) {
            // SAFETY: the kernel passes a valid context; for SECCOMP_RET_TRAP, rax holds the number of the system call,
            // which was not executed, and what we leave there is its result.
            unsafe {
                let _ = info;
                let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
                let call = registers[libc::REG_RAX as usize];
                if call == libc::SYS_getrandom {
                    let len = registers[libc::REG_RSI as usize];
                    super::fill(registers[libc::REG_RDI as usize] as *mut u8, len as usize);
                    registers[libc::REG_RAX as usize] = len;
                    return;
                }
                let backtrace = std::backtrace::Backtrace::force_capture();
                let text = format!(
                    "a simulated world made system call {call}: a real socket, thread, sleep or file\n{backtrace}\n"
                );
                libc::write(2, text.as_ptr().cast(), text.len());
                libc::_exit(70);
            }
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// What a library's hash map and its clock see, on a fresh thread.
    fn seen(seed: u64) -> (u64, std::time::SystemTime) {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let _inside = enter(seed);
                    let keys = std::hash::RandomState::new();
                    let key = std::hash::BuildHasher::hash_one(&keys, 1u8);
                    #[expect(clippy::disallowed_methods, reason = "what libraries do")]
                    let now = std::time::SystemTime::now();
                    (key, now)
                })
                .join()
                .expect("no panic")
        })
    }

    #[test]
    fn libraries_draw_from_the_seed() {
        assert_eq!(seen(1), seen(1));
        assert_ne!(seen(1).0, seen(2).0);
    }

    #[test]
    fn other_threads_keep_the_real_clock() {
        let _inside = enter(1);
        let outside = std::thread::scope(|s| {
            #[expect(clippy::disallowed_methods, reason = "the real clock is the point")]
            let now = s.spawn(std::time::SystemTime::now);
            now.join().expect("no panic")
        });
        let since = outside
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        assert!(since.as_secs() > 1_600_000_000, "{since:?}");
    }
}
