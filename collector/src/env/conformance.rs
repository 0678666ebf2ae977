//! What every [`Env`] must do alike, whether an operating system or a simulation stands behind it.
//!
//! Each function is one capability and panics with what differs. They need no real time and no real threads, so a
//! paused runtime passes them too. What only a simulation can show (loss of power, slow fsync) is tested there.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{ConnectError, Disk, Env, File, Listener, Open, Target};

/// Runs the whole suite. `dir` is an existing directory that may be written to; `local` is an address of this machine.
///
/// # Panics
/// On the first difference.
pub async fn check<E: Env>(env: &E, dir: &Path, local: IpAddr) {
    files_keep_what_is_written(env, dir).await;
    missing_files_are_told(env, dir).await;
    listings_are_sorted(env, dir).await;
    renames_replace(env, dir).await;
    names_and_files_are_apart(env, dir).await;
    locks_are_held_once(env, dir).await;
    files_take_whole_blocks(env, dir).await;
    room_is_taken_and_given_back(env, dir).await;
    streams_echo_and_close_by_halves(env, local).await;
    closed_ports_refuse(env, local).await;
    taken_ports_are_told(env, local).await;
    tasks_run_and_abort(env).await;
    compute_returns(env).await;
    seeds_are_stable_by_purpose(env);
    wall_clock_is_plausible(env);
    the_default_route_is_a_name(env);
}

/// The interface of the default route is a plain name, where there is one, and asking for it changes nothing.
pub fn the_default_route_is_a_name<E: Env>(env: &E) {
    let Some(interface) = env.default_route() else {
        return;
    };
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    assert!(!interface.is_empty(), "an interface without a name");
    assert!(interface.chars().all(is_plain), "{interface:?}");
    assert_eq!(env.default_route().as_ref(), Some(&interface));
}

/// Written bytes are read back, at any offset, after a second opening too; lengths are exact.
pub async fn files_keep_what_is_written<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("conformance-data");
    let file = disk
        .open(&path, Open::CreateNew)
        .await
        .expect("a new file opens");
    assert_eq!(file.len().await.expect("length"), 0, "a new file is empty");
    file.write_at(0, Bytes::from_static(b"hello world"))
        .await
        .expect("write");
    file.write_at(6, Bytes::from_static(b"store"))
        .await
        .expect("overwrite");
    file.write_at(16, Bytes::from_static(b"!"))
        .await
        .expect("write behind the end");
    file.sync().await.expect("sync");
    disk.sync_dir(dir).await.expect("sync the directory");
    assert_eq!(file.len().await.expect("length"), 17);
    assert_eq!(
        &file.read_at(0, 17).await.expect("read")[..],
        b"hello store\0\0\0\0\0!"
    );
    assert_eq!(
        &file
            .read_at(12, 100)
            .await
            .expect("a read past the end is short")[..],
        b"\0\0\0\0!"
    );
    assert!(
        file.read_at(17, 1)
            .await
            .expect("a read at the end")
            .is_empty(),
        "nothing stands at the end"
    );

    let again = disk.open(&path, Open::ReadWrite).await.expect("open again");
    again.set_len(5).await.expect("cut");
    again.sync().await.expect("sync");
    assert_eq!(again.len().await.expect("length"), 5);
    again.set_len(7).await.expect("extend");
    assert_eq!(
        &again.read_at(0, 10).await.expect("read")[..],
        b"hello\0\0",
        "an extended file is filled with zeros"
    );
    drop(again);

    let whole = disk.read(&path, 7).await.expect("read whole");
    assert_eq!(&whole[..], b"hello\0\0");
    let error = disk.read(&path, 6).await.expect_err("a limit holds");
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    let error = match disk.open(&path, Open::CreateNew).await {
        Ok(_) => panic!("CreateNew opened an existing file"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    let kept = disk.open(&path, Open::Create).await.expect("open or make");
    assert_eq!(
        kept.len().await.expect("length"),
        7,
        "Create does not truncate"
    );
    assert!(
        disk.free_bytes(dir).await.expect("free space") > 0,
        "there is room"
    );
    disk.remove_file(&path).await.expect("remove");
}

/// What is not there is `NotFound`, for every operation.
pub async fn missing_files_are_told<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("conformance-missing");
    for how in [Open::Read, Open::ReadWrite] {
        match disk.open(&path, how).await {
            Ok(_) => panic!("{how:?} opened a missing file"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{how:?}"),
        }
    }
    let error = disk.read(&path, 1).await.expect_err("read");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = disk.remove_file(&path).await.expect_err("remove");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = disk.read_dir(&path).await.expect_err("list");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    let error = disk
        .rename(&path, &dir.join("x"))
        .await
        .expect_err("rename");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

/// A listing is sorted by name and tells sizes and directories.
pub async fn listings_are_sorted<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let dir = dir.join("conformance-list");
    disk.create_dir_all(&dir.join("b/deep"))
        .await
        .expect("make");
    disk.create_dir_all(&dir.join("b/deep"))
        .await
        .expect("making what exists is fine");
    for (name, data) in [("c", "three"), ("a", "1")] {
        let file = disk
            .open(&dir.join(name), Open::Create)
            .await
            .expect("open");
        file.write_at(0, Bytes::copy_from_slice(data.as_bytes()))
            .await
            .expect("write");
    }
    let listed: Vec<(String, u64, bool)> = disk
        .read_dir(&dir)
        .await
        .expect("list")
        .into_iter()
        .map(|entry| (entry.name, entry.bytes, entry.is_dir))
        .collect();
    let expected = [("a", 1, false), ("b", 0, true), ("c", 5, false)]
        .map(|(name, bytes, is_dir)| (name.to_owned(), bytes, is_dir));
    assert_eq!(listed, expected);
    for name in ["a", "c"] {
        disk.remove_file(&dir.join(name)).await.expect("remove");
    }
    assert_eq!(disk.read_dir(&dir).await.expect("list").len(), 1);
}

/// A rename puts the new content under the old name, and the new name is gone.
pub async fn renames_replace<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let (from, to) = (dir.join("conformance-new"), dir.join("conformance-old"));
    for (path, data) in [(&to, "old"), (&from, "new")] {
        let file = disk.open(path, Open::CreateNew).await.expect("open");
        file.write_at(0, Bytes::copy_from_slice(data.as_bytes()))
            .await
            .expect("write");
        file.sync().await.expect("sync");
    }
    disk.rename(&from, &to).await.expect("rename");
    disk.sync_dir(dir).await.expect("sync the directory");
    assert_eq!(&disk.read(&to, 100).await.expect("read")[..], b"new");
    let error = disk.read(&from, 100).await.expect_err("it has moved");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    disk.remove_file(&to).await.expect("remove");
}

/// An open file outlives its name, a name can be taken again, and a directory is not a file.
pub async fn names_and_files_are_apart<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("conformance-name");
    let open = |how| disk.open(&path, how);
    let old = open(Open::CreateNew).await.expect("open");
    old.write_at(0, Bytes::from_static(b"old"))
        .await
        .expect("write");
    disk.remove_file(&path).await.expect("remove");
    let new = open(Open::CreateNew).await.expect("the name is free");
    new.write_at(0, Bytes::from_static(b"newer"))
        .await
        .expect("write");
    assert_eq!(&old.read_at(0, 9).await.expect("read")[..], b"old");
    old.write_at(3, Bytes::from_static(b"!"))
        .await
        .expect("write");
    old.sync().await.expect("sync what has no name");
    assert_eq!(old.len().await.expect("length"), 4);
    assert_eq!(&disk.read(&path, 9).await.expect("read")[..], b"newer");

    let error = match disk.open(&path.join("below"), Open::Create).await {
        Ok(_) => panic!("a file was made below a file"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    let error = disk.read_dir(&path).await.expect_err("list a file");
    assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    match disk.open(dir, Open::ReadWrite).await {
        Ok(_) => panic!("a directory was opened for writing"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::IsADirectory),
    }
    disk.read(dir, 1 << 20)
        .await
        .expect_err("read a directory as a file");
    disk.remove_file(dir)
        .await
        .expect_err("remove a directory as a file");
    disk.remove_file(&path).await.expect("remove");
}

/// A lock is held once, and can be taken again when it was dropped; another path is another lock.
pub async fn locks_are_held_once<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("conformance-lock");
    for _ in 0..2 {
        let held = disk.lock(&path).await.expect("it is free");
        match disk.lock(&path).await {
            Ok(_) => panic!("a lock was taken twice"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        let other = disk.lock(&dir.join("conformance-lock-2")).await;
        drop((other.expect("another one is free"), held));
    }
}

/// A file takes room in whole blocks, and gives it back.
pub async fn files_take_whole_blocks<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let block = disk.block_bytes(dir).await.expect("block size");
    assert!(block >= 1);
    let path = dir.join("conformance-blocks");
    let file = disk.open(&path, Open::CreateNew).await.expect("open");
    for bytes in [1, block, block + 1, 5 * block - 1] {
        let data = Bytes::from(vec![7; bytes as usize]);
        file.write_at(0, data).await.expect("write");
        file.sync().await.expect("sync");
        let listed = disk.read_dir(dir).await.expect("list");
        let entry = listed.into_iter().find(|e| e.name == "conformance-blocks");
        let entry = entry.expect("it has a name");
        assert_eq!(entry.bytes, bytes);
        let whole = bytes.div_ceil(block) * block;
        // A file system may take room ahead, and keep little files in the inode or compressed.
        assert!(
            entry.disk_bytes >= whole || entry.disk_bytes < bytes,
            "{bytes} bytes take {}",
            entry.disk_bytes
        );
    }
    disk.remove_file(&path).await.expect("remove");
}

/// Room can be taken ahead of data and given back; what was written stays.
pub async fn room_is_taken_and_given_back<E: Env>(env: &E, dir: &Path) {
    let disk = env.disk();
    let path = dir.join("conformance-room");
    let file = disk.open(&path, Open::CreateNew).await.expect("open");
    let data = Bytes::from_static(b"data");
    file.write_at(0, data.clone()).await.expect("write");
    file.allocate(100_000).await.expect("take room");
    file.allocate(50_000).await.expect("it has more");
    file.sync().await.expect("sync");
    let again = file.write_and_sync(0, data.clone()).await;
    assert!(again.is_ok_and(|took| took < Duration::from_secs(60)));
    assert_eq!(file.len().await.expect("length"), 100_000);
    assert_eq!(file.read_at(0, 4).await.expect("read"), data);
    let taken = || async {
        let listed = disk.read_dir(dir).await.expect("list");
        let entry = listed.into_iter().find(|e| e.name == "conformance-room");
        entry.expect("it has a name").disk_bytes
    };
    assert!(taken().await >= 100_000, "it takes room");
    file.set_len(0).await.expect("give it back");
    assert_eq!(taken().await, 0);
    disk.remove_file(&path).await.expect("remove");
}

/// Bytes arrive in order both ways, and either side may end its half while the other goes on.
pub async fn streams_echo_and_close_by_halves<E: Env>(env: &E, local: IpAddr) {
    let mut listener = env
        .listen(SocketAddr::new(local, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("address");
    assert_ne!(address.port(), 0, "the picked port is told");
    let server = env.spawn(async move {
        let (mut stream, peer) = listener.accept().await.expect("accept");
        assert_eq!(peer.ip(), local);
        let mut heard = Vec::new();
        stream
            .read_to_end(&mut heard)
            .await
            .expect("read to the end of the client's half");
        heard.reverse();
        stream.write_all(&heard).await.expect("answer after it");
        stream.shutdown().await.expect("close");
    });
    let mut stream = env
        .connect(&target(address))
        .await
        .expect("a listening port connects");
    // Larger than any default socket buffer, so that flow control is part of it.
    let sent: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    stream.write_all(&sent).await.expect("write");
    stream.shutdown().await.expect("end the client's half");
    let mut heard = Vec::new();
    stream
        .read_to_end(&mut heard)
        .await
        .expect("read the answer");
    heard.reverse();
    assert!(heard == sent, "the echo differs");
    server.await.expect("the server ends");
}

/// Nobody listens: `Refused`.
pub async fn closed_ports_refuse<E: Env>(env: &E, local: IpAddr) {
    let listener = env
        .listen(SocketAddr::new(local, 0))
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("address");
    drop(listener);
    match env.connect(&target(address)).await {
        Err(ConnectError::Refused) => {}
        Err(error) => panic!("a closed port gave {error}, not Refused"),
        Ok(_) => panic!("a closed port connected"),
    }
}

/// A port has one listener.
pub async fn taken_ports_are_told<E: Env>(env: &E, local: IpAddr) {
    let first = env
        .listen(SocketAddr::new(local, 0))
        .await
        .expect("a free port");
    let address = first.local_addr().expect("address");
    match env.listen(address).await {
        Ok(_) => panic!("{address} was bound twice"),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
    }
}

/// A spawned task gives its output; an aborted one is dropped and gives `None`.
pub async fn tasks_run_and_abort<E: Env>(env: &E) {
    assert_eq!(env.spawn(async { 42 }).await, Some(42));

    let (alive, ended) = tokio::sync::oneshot::channel::<()>();
    let task = env.spawn(async move {
        let _alive = alive;
        std::future::pending::<()>().await;
    });
    tokio::task::yield_now().await;
    task.abort();
    assert_eq!(task.await, None);
    ended.await.expect_err("what the task held was dropped");

    let (tell, told) = tokio::sync::oneshot::channel();
    drop(env.spawn(async move { tell.send(7) }));
    assert_eq!(
        told.await,
        Ok(7),
        "a dropped handle leaves the task running"
    );
}

/// Work off the event loop gives its output.
pub async fn compute_returns<E: Env>(env: &E) {
    let sum = env.compute(|| (1..=1000_u64).sum::<u64>()).await;
    assert_eq!(sum, 500_500);
}

/// Seeds are stable per purpose and differ between purposes.
pub fn seeds_are_stable_by_purpose<E: Env>(env: &E) {
    assert_eq!(env.seed("retry"), env.seed("retry"));
    assert_eq!(env.seed("retry"), env.clone().seed("retry"));
    assert_ne!(env.seed("retry"), env.seed("boot"));
    assert_ne!(env.seed(""), env.seed("retry"));
}

/// The wall clock stands after 2001 and before 2286: a unit is not mistaken.
pub fn wall_clock_is_plausible<E: Env>(env: &E) {
    let seconds = env.unix_time().as_secs();
    assert!(
        (1_000_000_000..10_000_000_000).contains(&seconds),
        "unix time of {seconds} s"
    );
}

fn target(address: SocketAddr) -> Target {
    Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
    }
}
