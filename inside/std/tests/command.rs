//! A `Command` is std's, and what it starts is told.

use belljar_std::__belljar::{Kind, told};
use belljar_std::process::{Command, Stdio};

fn told_of(name: &str) {
    assert_eq!(told(), [(Kind::Process, name.to_owned())]);
}

#[test]
fn each_way_to_start_a_program_tells_its_name_and_gives_what_stds_gives() {
    let mut command = Command::new("/no/such/program");
    command.arg("a").args(["b", "c"]);
    assert_eq!(told(), []);
    let error = std::process::Command::new("/no/such/program").spawn().unwrap_err();
    for failed in [command.spawn().map(drop), command.output().map(drop), command.status().map(drop)]
        .map(Result::unwrap_err)
    {
        assert_eq!(failed.to_string(), error.to_string());
    }
    assert_eq!(told().len(), 3);
    let output = Command::new("sh").args(["-c", "printf %s \"$A\""]).env("A", "text").output().unwrap();
    assert_eq!((output.status.success(), output.stdout), (true, b"text".to_vec()));
    told_of("sh");
}

#[test]
fn it_looks_like_stds() {
    let mut ours = Command::new("git");
    let mut stds = std::process::Command::new("git");
    ours.args(["log"]).arg("-1").env("A", "b").env_remove("C").current_dir("/").stdin(Stdio::null());
    stds.args(["log"]).arg("-1").env("A", "b").env_remove("C").current_dir("/").stdin(Stdio::null());
    assert_eq!(format!("{ours:?} {ours:#?}"), format!("{stds:?} {stds:#?}"));
    assert_eq!(ours.get_program(), stds.get_program());
    assert!(ours.get_args().eq(stds.get_args()) && ours.get_envs().eq(stds.get_envs()));
    assert_eq!(ours.get_current_dir(), stds.get_current_dir());
    ours.env_clear().envs([("D", "e")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    assert_eq!(ours.get_envs().count(), 1);
    assert_eq!(told(), []);
}

#[test]
fn everything_else_of_std_is_there() {
    use belljar_std::collections::{BTreeMap, HashMap, hash_map::Entry};
    let mut map: HashMap<u8, BTreeMap<u8, u8>> = std::collections::HashMap::new();
    assert!(matches!(map.entry(1), Entry::Vacant(_)));
    belljar_std::assert!(belljar_std::vec![1].len() == 1);
    let code: std::process::ExitCode = belljar_std::process::ExitCode::SUCCESS;
    let ip: std::net::IpAddr = belljar_std::net::Ipv4Addr::LOCALHOST.into();
    let _ = (code, ip);
}
