//! Macro packages to modules: what is missing in the store is built, several at once where they can share their work.
//!
//! Guests are built by one cargo, in one scratch workspace, when each of them comes out exactly as it would alone: when no
//! unit that two of them need would get features of the other ([`Graph::agrees_with`]). So they share proc-macro2, quote
//! and syn, and use all cores.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use belljar_store::{Area, GuestRecord, Store, tree};
use camino::{Utf8Path, Utf8PathBuf};
use cargo_metadata::Message;
use cargo_metadata::diagnostic::DiagnosticLevel;

use crate::graph::{Graph, GraphPackage};
use crate::guests::{GuestRequest, Guests, Origin, known};
use crate::inside::{self, GuestInside, HostInside};
use crate::key::Keyed;
use crate::lock::Lockfile;
use crate::manifest::{self, Manifest, WholeSyn};
use crate::nested::{self, Nested};
use crate::order::{self, Awaited};
use crate::toolchain::{self, Sysroot, TARGET, Toolchain};
use crate::{GuestError, Progress, module, overlay, prune, rewrite, scratch, trouble, unwind};

/// How the note begins with which belljar, as the compiler's wrapper, tells what macros of a guest's own were refused.
pub const REFUSED: &str = "belljar refused ";

/// The profile of scratch workspaces. Its fields are all given, so that none is the user's.
pub(crate) const PROFILE: &str = "guest";

pub(crate) struct Builder<'a> {
    store: &'a Store,
    toolchain: &'a Toolchain,
    progress: &'a dyn Progress,
    depth: usize,
    total: usize,
    done: usize,
}

/// A guest in a scratch workspace.
struct Member<'a> {
    keyed: Keyed,
    request: &'a GuestRequest,
    manifest: Manifest,
    dir: Utf8PathBuf,
    graph: Graph,
    unwinds: bool,
}

/// A directory in which guests are built; removed when it is dropped, or by the next belljar when this one is killed.
struct Workspace {
    root: Utf8PathBuf,
    _remover: tempfile::TempDir,
    /// Locked for as long as this process lives.
    _in_use: std::fs::File,
}

impl Workspace {
    /// Where the member of that name is. Cargo tells packages apart by their path below the workspace, so no two builds
    /// may ever have the same one: what was built from other files would pass for fresh.
    fn member(&self, name: &str) -> Utf8PathBuf {
        self.root.join(self.member_path(name))
    }

    fn member_path(&self, name: &str) -> String {
        format!("{}/{name}", self.root.file_name().unwrap_or_default())
    }
}

impl<'a> Builder<'a> {
    /// Builds what is missing, at this depth of macros that use macros.
    pub(crate) fn new(
        (store, toolchain): (&'a Store, &'a Toolchain),
        progress: &'a dyn Progress,
        depth: usize,
        total: usize,
    ) -> Self {
        Self { store, toolchain, progress, depth, total, done: 0 }
    }

    pub(crate) fn build(&mut self, missing: Vec<(Keyed, &'a GuestRequest)>) -> Result<(), GuestError> {
        let (store, toolchain) = (self.store, self.toolchain);
        std::thread::scope(|scope| {
            // Needed soon, and there after the first time. A failure comes up where it is needed.
            scope.spawn(|| inside::prepare(store, toolchain).is_ok());
            groups(missing).into_iter().try_for_each(|group| self.build_group(group))
        })
    }

    /// Builds guests that can be in one workspace.
    fn build_group(&mut self, group: Vec<(Keyed, &'a GuestRequest)>) -> Result<(), GuestError> {
        let workspace = self.workspace()?;
        let scratched = in_parallel(&group, |(keyed, request)| self.scratch(&workspace, keyed, request))?;
        // Only when all packages stand: what one looks for outside may be in another, and a copy is never written over.
        for (manifest, dir) in &scratched {
            let io = |source| GuestError::File { path: dir.clone(), source };
            scratch::link_outside(manifest.dir(), dir, &workspace.root).map_err(io)?;
        }
        write_root(&workspace, &group)?;
        let pairs: Vec<_> = group.iter().zip(scratched).collect();
        let graphs = in_parallel(&pairs, |((keyed, request), (manifest, dir))| {
            let graph = self.graph(request, manifest, dir)?;
            match WholeSyn::of(&graph) {
                WholeSyn::No => Ok(graph),
                whole => {
                    write_manifest(dir, keyed, manifest, &whole)?;
                    self.graph(request, manifest, dir)
                }
            }
        })?;
        let scratched: Vec<_> = pairs.into_iter().map(|(_, scratched)| scratched).collect();
        let mut members = Vec::new();
        for (((keyed, request), (manifest, dir)), graph) in group.into_iter().zip(scratched).zip(graphs) {
            check_local(request, &keyed, &graph)?;
            let unwinds = graph.linked.iter().any(|p| unwind::catches(&p.name, &p.dir))
                || unwind::catches(&request.name, manifest.dir());
            members.push(Member { keyed, request, manifest, dir, graph, unwinds });
        }
        check_lock(&workspace.root, &members)?;
        // Before anything is locked: another belljar may hold what these need and wait for what this one holds.
        for member in &members {
            self.used_macros(&workspace, member)?;
        }
        for batch in batches(members) {
            self.build_batch(&workspace, batch)?;
        }
        Ok(())
    }

    /// Makes the scratch package of a guest.
    fn scratch(
        &self,
        workspace: &Workspace,
        keyed: &Keyed,
        request: &GuestRequest,
    ) -> Result<(Manifest, Utf8PathBuf), GuestError> {
        let manifest =
            Manifest::read(&self.toolchain.cargo, &request.cwd, &request.manifest_path, &request.features)
                .map_err(|source| GuestError::Manifest { guest: request.title(), source })?;
        let dir = workspace.member(&request.name);
        let io = |source| GuestError::File { path: dir.clone(), source };
        std::fs::create_dir_all(&dir).map_err(io)?;
        let reaches = |name: &str| keyed.reached.iter().any(|&i| keyed.lock.packages[i].name == name);
        let rules = overlay::of_guest(&request.name, reaches);
        scratch::mirror(manifest.dir(), &dir, rules).map_err(io)?;
        if rules.bare {
            append(&dir.join(manifest.root()), rewrite::ROOT).map_err(io)?;
        }
        write_manifest(&dir, keyed, &manifest, &WholeSyn::No)?;
        Ok((manifest, dir))
    }

    fn workspace(&self) -> Result<Workspace, GuestError> {
        let area = self.store.dir(Area::Scratch);
        remove_old(&area);
        let io = |source| GuestError::File { path: area.clone(), source };
        let remover = tempfile::Builder::new().prefix("guests-").tempdir_in(&area).map_err(io)?;
        let root = Utf8PathBuf::from_path_buf(remover.path().to_owned())
            .map_err(|_| io(std::io::Error::new(std::io::ErrorKind::InvalidData, "its path is not UTF-8")))?;
        let in_use = mark_in_use(&root).map_err(io)?;
        Ok(Workspace { root, _remover: remover, _in_use: in_use })
    }

    /// The variables that cargo gets for a guest's build: what it needs to reach its registries, and nothing else of the
    /// user's.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_cargos)).collect()
    }

    fn cargo(&self, request: &GuestRequest, target_dir: &Utf8Path) -> Command {
        let mut cargo = Command::new(&self.toolchain.cargo);
        cargo
            .current_dir(&request.cwd)
            .env_clear()
            .envs(self.environment())
            .env("RUSTC", &self.toolchain.rustc)
            // The user's configuration is read for its registries; what it says on how to compile is overridden.
            .env("CARGO_ENCODED_RUSTFLAGS", "")
            .env("RUSTC_WRAPPER", "")
            .env("RUSTC_WORKSPACE_WRAPPER", "")
            .env("CARGO_TARGET_DIR", target_dir)
            .env("CARGO_BUILD_BUILD_DIR", target_dir)
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null());
        if request.offline {
            cargo.env("CARGO_NET_OFFLINE", "true");
        }
        cargo.args(request.config.iter().flat_map(|config| ["--config", config]));
        // SAFETY: `prctl` may be called between fork and exec. If this process is killed, so is cargo.
        unsafe {
            cargo.pre_exec(|| {
                let signal = Some(rustix::process::Signal::TERM);
                rustix::process::set_parent_process_death_signal(signal).map_err(std::io::Error::from)
            });
        }
        cargo
    }

    fn start_error(&self) -> impl FnOnce(std::io::Error) -> GuestError + use<> {
        let program = self.toolchain.cargo.clone();
        |source| GuestError::Start { program, source }
    }

    /// Asks cargo what it would compile for this guest alone.
    fn graph(
        &self,
        request: &GuestRequest,
        manifest: &Manifest,
        dir: &Utf8Path,
    ) -> Result<Graph, GuestError> {
        // A directory of its own: with `RUSTC_BOOTSTRAP`, cargo learns other things about the compiler, and keeps them.
        let mut cargo = self.cargo(request, &self.store.dir(Area::Target).join("graph"));
        cargo
            .args(["build", "--unit-graph", "-Zunstable-options", "--lib", "--quiet", "--target", TARGET])
            .args([
                "--profile",
                PROFILE,
                "--no-default-features",
                "--features",
                &manifest.features().join(","),
            ])
            .arg("--manifest-path")
            .arg(dir.join("Cargo.toml"))
            .env("RUSTC_BOOTSTRAP", "1");
        let output = cargo.output().map_err(self.start_error())?;
        if !output.status.success() {
            let output = quoted(String::from_utf8_lossy(&output.stderr).trim());
            let advice = if request.offline {
                "run the build once without --offline, or `cargo fetch`: WebAssembly may need packages that this machine doesn't".to_owned()
            } else {
                "see what cargo says above; a registry that can't be reached can be replaced by `cargo vendor`".to_owned()
            };
            return Err(GuestError::Graph { guest: request.title(), output, advice });
        }
        Graph::parse(&output.stdout).map_err(|e| GuestError::Graph {
            guest: request.title(),
            output: format!("its unit graph can't be read: {e}"),
            advice: "this belljar doesn't know your cargo; please report both versions".to_owned(),
        })
    }

    /// Builds the macros that a guest uses itself.
    fn used_macros(&self, workspace: &Workspace, member: &Member<'_>) -> Result<(), GuestError> {
        let outer = member.request;
        let requests: Vec<_> = member
            .graph
            .macros
            .iter()
            .map(|used| GuestRequest {
                name: used.package.name.clone(),
                version: used.package.version.clone(),
                origin: used.package.origin,
                manifest_path: used.package.dir.join("Cargo.toml"),
                features: used.features.clone(),
                debug_assertions: used.debug_assertions,
                lockfile: workspace.root.join("Cargo.lock"),
                workspace_root: outer.workspace_root.clone(),
                cwd: outer.cwd.clone(),
                config: outer.config.clone(),
                offline: outer.offline,
                log: outer.log.clone(),
                awaited: 0,
            })
            .collect();
        // One by one: each can use those before it.
        for request in &requests {
            let request = std::slice::from_ref(request);
            Guests::find_at(self.store, self.toolchain, request, self.depth + 1)?.make(self.progress)?;
        }
        Ok(())
    }

    /// Builds guests that agree on everything they share.
    fn build_batch(&mut self, workspace: &Workspace, mut batch: Vec<Member<'a>>) -> Result<(), GuestError> {
        // Always in one order, so that two belljars can't wait for each other.
        batch.sort_by_key(|m| m.keyed.key);
        let mut locks = Vec::new();
        for member in &batch {
            let title = member.request.title();
            let waiting =
                || self.progress.step("Blocking", &format!("waiting for another belljar that seals {title}"));
            locks.push(self.store.lock_or_wait(&format!("guest-{}", member.keyed.key), waiting)?);
        }
        let mut todo = Vec::new();
        for member in batch {
            match known(self.store, &member.keyed.key)? {
                Some(_) => {
                    self.done += 1;
                    self.progress.ready(&member.keyed.key);
                }
                None => todo.push(member),
            }
        }
        let Some(first) = todo.first() else { return Ok(()) };
        let sysroot = if first.unwinds {
            let sysroot = toolchain::unwinding(self.store, self.toolchain, self.progress)?;
            sysroot.check()?;
            sysroot
        } else {
            self.toolchain.aborting.clone()
        };
        let libraries = inside::guest(self.store, self.toolchain, &sysroot)?;
        let host = inside::host(self.store, self.toolchain)?;
        let titles: Vec<_> = todo.iter().map(|m| m.request.title()).collect();
        self.progress.step("Sealing", &titles.join(", "));
        let target_dir = self.target_dir(&sysroot, &libraries, &first.keyed.variables);
        let io = |source| GuestError::File { path: target_dir.clone(), source };
        let waiting = || self.progress.step("Blocking", "waiting for another belljar that seals macros");
        // Cargo would wait as well, but without a word.
        let _target = self.store.lock_or_wait(&prune::lock_name(&target_dir), waiting)?;
        // One that was there before may be damaged, and cargo would take what is in it for fresh for ever.
        let fresh = !target_dir.is_dir();
        if fresh {
            tree::discard(&target_dir);
        }
        std::fs::create_dir_all(&target_dir).and_then(|()| prune::used(&target_dir)).map_err(io)?;
        let mut ran = self.run(workspace, &todo, &sysroot, &libraries, &host, &target_dir);
        if matches!(ran, Err(Failed { damage: true, .. })) && !fresh {
            self.progress.step("Discarding", "cargo's damaged directory in belljar's store");
            tree::discard(&target_dir);
            todo = self.unknown(todo)?;
            ran = self.run(workspace, &todo, &sysroot, &libraries, &host, &target_dir);
        }
        // One of them may use what it doesn't ask for.
        if let Err(Failed { error: GuestError::Build { output, .. }, .. }) = &ran
            && output.contains("syn")
        {
            todo = self.unknown(todo)?;
            for member in &todo {
                write_manifest(&member.dir, &member.keyed, &member.manifest, &WholeSyn::All)?;
            }
            ran = self.run(workspace, &todo, &sysroot, &libraries, &host, &target_dir);
        }
        prune::prune(self.store, &target_dir);
        ran.map_err(|failed| failed.error)
    }

    /// Those of them that the store doesn't have.
    fn unknown(&self, members: Vec<Member<'a>>) -> Result<Vec<Member<'a>>, GuestError> {
        let mut unknown = Vec::new();
        for member in members {
            if known(self.store, &member.keyed.key)?.is_none() {
                unknown.push(member);
            }
        }
        Ok(unknown)
    }

    /// Cargo looks at `rustc -vV` only to tell compilers apart, so each std has a directory of its own; and so has each
    /// depth, for an outer cargo holds the lock of its directory. Nor does cargo look at `[env]` when it takes a build
    /// script's word for fresh.
    fn target_dir(&self, sysroot: &Sysroot, libraries: &GuestInside, variables: &str) -> Utf8PathBuf {
        let mut hasher = blake3::Hasher::new();
        for text in [&inside::compiler_id(self.toolchain), &sysroot.id, &overlay::id()] {
            inside::field(&mut hasher, text);
        }
        inside::field(&mut hasher, libraries.lib_dir.as_str());
        inside::field(&mut hasher, variables);
        let id = &hasher.finalize().to_hex()[..16];
        self.store.dir(Area::Target).join(format!("{id}-{}", self.depth))
    }

    fn run(
        &mut self,
        workspace: &Workspace,
        members: &[Member<'a>],
        sysroot: &Sysroot,
        libraries: &GuestInside,
        host: &HostInside,
        target_dir: &Utf8Path,
    ) -> Result<(), Failed> {
        let Some(first) = members.first().map(|m| m.request) else { return Ok(()) };
        if !target_dir.is_dir() {
            tree::discard(target_dir);
        }
        let io = |source| GuestError::File { path: target_dir.to_owned(), source };
        std::fs::create_dir_all(target_dir).map_err(io)?;
        let mut cargo = self.cargo(first, target_dir);
        let nested = Nested {
            workspace_root: first.workspace_root.clone(),
            lockfile: workspace.root.join("Cargo.lock"),
            cwd: first.cwd.clone(),
            config: first.config.clone(),
            offline: first.offline,
            log: first.log.clone(),
            depth: self.depth,
            scratch: workspace.root.clone(),
            members: members.iter().map(|m| (m.dir.clone(), m.manifest.dir().to_owned())).collect(),
            sysroot_args: libraries.rustc_args(sysroot),
            libraries: libraries.lib_dir.clone(),
            entry: host.entry(),
            reactor: sysroot.libraries(self.toolchain).join("self-contained/crt1-reactor.o"),
            overlays: nested::overlays(self.store),
            ambient: cargo.get_envs().filter_map(|(k, v)| v.and(k.to_str()).map(str::to_owned)).collect(),
        };
        let file = workspace.root.join("nested.json");
        let json = serde_json::to_vec(&nested).map_err(std::io::Error::from);
        json.and_then(|json| std::fs::write(&file, json))
            .map_err(|source| GuestError::File { path: file.clone(), source })?;
        cargo
            .env(nested::VARIABLE, &file)
            .env("RUSTC_WRAPPER", inside::current_exe()?)
            .args(["build", "--lib", "--keep-going", "--message-format=json", "--target", TARGET])
            .args(["--profile", PROFILE])
            .arg("--manifest-path")
            .arg(workspace.root.join("Cargo.toml"))
            .args(["--no-default-features", "--features", &features(members)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        write_default_members(workspace, members)?;
        let mut child = Running(cargo.spawn().map_err(self.start_error())?);
        let said = child.0.stderr.take();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            said.map(|mut s| s.read_to_string(&mut text));
            text
        });
        let mut problems: Vec<(String, String)> = Vec::new();
        let mut damage = false;
        let mut refused = None;
        let output = child.0.stdout.take();
        for line in output.into_iter().flat_map(|o| BufReader::new(o).lines()) {
            let Ok(message) = line.and_then(|l| serde_json::from_str(&l).map_err(std::io::Error::from))
            else {
                continue;
            };
            self.progress.compiling();
            match message {
                Message::CompilerMessage(m)
                    if matches!(m.message.level, DiagnosticLevel::Error | DiagnosticLevel::Ice) =>
                {
                    damage |= trouble::tells_of_damage(&m.message);
                    let text = m.message.rendered.unwrap_or(m.message.message);
                    let text =
                        members.iter().fold(text, |text, member| member.in_real_paths(workspace, &text));
                    problems.push((package_name(&m.package_id.repr), text));
                }
                // Whoever is refused something may go on without: that is no error, and nobody would see it.
                Message::CompilerMessage(m)
                    if m.message.level == DiagnosticLevel::Note && m.message.message.starts_with(REFUSED) =>
                {
                    self.progress.refused(&m.message.message);
                }
                Message::CompilerArtifact(artifact) => {
                    let member = members.iter().find(|m| artifact.manifest_path == m.dir.join("Cargo.toml"));
                    if let Some(member) = member.filter(|_| artifact.target.is_cdylib()) {
                        // The others are finished first: they are needed in any case.
                        refused = refused.or(self.keep(member, sysroot).err());
                    }
                }
                _ => {}
            }
        }
        let status = child.0.wait().map_err(self.start_error())?;
        let said = said.join().unwrap_or_default();
        if let Some(error) = refused {
            return Err(error.into());
        }
        if status.success() {
            return Ok(());
        }
        damage |= problems.is_empty() && trouble::is_of_damage(&said, target_dir);
        Err(Failed { error: failure(members, status, problems, &said, self.store), damage })
    }

    /// Puts a finished guest into the store.
    fn keep(&mut self, member: &Member<'_>, sysroot: &Sysroot) -> Result<(), GuestError> {
        let guest = member.request.title();
        let path = member.dir.join(nested::LINKED);
        let linked = std::fs::read(&path).map_err(|source| GuestError::File { path, source })?;
        // Somebody may be writing while we build.
        if !member.keyed.local.is_empty()
            && crate::key::key(self.toolchain, member.request)? != member.keyed.key
        {
            return Err(GuestError::Changed { guest });
        }
        let module = module::finish(&linked).map_err(|what| GuestError::BadModule {
            guest: guest.clone(),
            advice: advice(&what),
            what,
        })?;
        let linked = member.graph.linked.iter().map(|p| p.dir.as_path());
        let ours = [self.store.root(), member.manifest.dir(), &member.request.workspace_root];
        if let Some(place) = module::place_in(&module.wasm, linked.chain(ours)) {
            let what = format!("{guest} holds the path {place}: its module is another one on other machines");
            self.progress.step("Note", &what);
        }
        if module.entries.is_empty() {
            let what =
                format!("{guest} has no macro that belljar can see; if it should have, please report it");
            self.progress.step("Note", &what);
        }
        let record = GuestRecord {
            package: member.request.name.clone(),
            version: member.request.version.clone(),
            module: self.store.put_module(&module.wasm)?,
            unwinds: sysroot.unwinds,
            edition: member.manifest.edition().to_owned(),
            entries: module.entries,
            sources: Vec::new(),
        };
        self.store.put_guest(&member.keyed.key, &record)?;
        self.progress.sealed(&record);
        self.progress.ready(&member.keyed.key);
        self.done += 1;
        self.progress.step("Sealed", &format!("{guest} ({}/{})", self.done, self.total));
        Ok(())
    }
}

impl Member<'_> {
    /// An error of the compiler's with this package's own directory in place of its scratch copy: relative to where the
    /// user is, if it is below.
    fn in_real_paths(&self, workspace: &Workspace, text: &str) -> String {
        let (Some(root), Some(dir)) = (workspace.root.file_name(), self.dir.file_name()) else {
            return text.to_owned();
        };
        let real = self.manifest.dir();
        let real = real.strip_prefix(&self.request.cwd).unwrap_or(real);
        let place = nested::place(&self.request.name, &self.request.version);
        [format!("{root}/{dir}/"), format!("{place}/")]
            .iter()
            .fold(text.to_owned(), |text, from| text.replace(from, real.join("").as_str()))
    }
}

/// Why cargo built nothing.
struct Failed {
    error: GuestError,
    /// Does it look as if what cargo kept of earlier builds were damaged?
    damage: bool,
}

impl<E: Into<GuestError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), damage: false }
    }
}

/// A child that doesn't outlive an error here.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // When it has ended already, neither does anything.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Variables that are cargo's business: where things are, and how registries are reached.
fn is_cargos(name: &str) -> bool {
    const NAMES: [&str; 20] = [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "TMPDIR",
        "LANG",
        "LC_ALL",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "BELLJAR_HOME",
        "XDG_CACHE_HOME",
        "SSH_AUTH_SOCK",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "NO_PROXY",
    ];
    const BEGINNINGS: [&str; 9] = [
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_SOURCE_",
        "GIT_SSH",
        // What macros that macros use may take.
        "BELLJAR_LIMIT_",
        // Whether what they write is remembered, and how far that is trusted.
        "BELLJAR_CACHE",
        "BELLJAR_VERIFY_CACHE",
    ];
    NAMES.contains(&name) || BEGINNINGS.iter().any(|b| name.starts_with(b))
}

/// Requests that can be members of one workspace: with one setting of debug assertions, from one project, with names
/// that can stand beside each other in a lockfile and in a target directory.
fn groups(missing: Vec<(Keyed, &GuestRequest)>) -> Vec<Vec<(Keyed, &GuestRequest)>> {
    let mut groups: Vec<Vec<(Keyed, &GuestRequest)>> = Vec::new();
    for (keyed, request) in missing {
        let library = |r: &GuestRequest| r.name.replace('-', "_");
        let uses = |keyed: &Keyed, other: &GuestRequest| {
            keyed
                .reached
                .iter()
                .map(|&i| &keyed.lock.packages[i])
                .any(|p| p.source.is_none() && p.name == other.name)
        };
        let fits = |group: &&mut Vec<(Keyed, &GuestRequest)>| {
            group.iter().all(|(k, r)| {
                r.debug_assertions == request.debug_assertions
                    && r.lockfile == request.lockfile
                    && r.cwd == request.cwd
                    && r.config == request.config
                    && r.offline == request.offline
                    && library(r) != library(request)
                    && !uses(k, request)
                    && !uses(&keyed, r)
            })
        };
        // A macro that uses itself in a development dependency, say, only meets itself.
        match groups.iter_mut().find(fits) {
            Some(group) => group.push((keyed, request)),
            None => groups.push(vec![(keyed, request)]),
        }
    }
    groups
}

/// Members that one cargo can build at once.
fn batches(members: Vec<Member<'_>>) -> Vec<Vec<Member<'_>>> {
    let mut batches: Vec<Vec<Member<'_>>> = Vec::new();
    for member in members {
        let fits = |batch: &&mut Vec<Member<'_>>| {
            batch.iter().all(|m| m.unwinds == member.unwinds && m.graph.agrees_with(&member.graph))
        };
        match batches.iter_mut().find(fits) {
            Some(batch) => batch.push(member),
            None => batches.push(vec![member]),
        }
    }
    batches
}

/// Does something for each of them that mostly waits for another program; as many at once as there are processors.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, GuestError> + Sync,
) -> Result<Vec<R>, GuestError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((i, item)) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?)))
                {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((i, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, result)| result).collect()
}

fn write_manifest(
    dir: &Utf8Path,
    keyed: &Keyed,
    manifest: &Manifest,
    whole_syn: &WholeSyn,
) -> Result<(), GuestError> {
    let path = dir.join("Cargo.toml");
    std::fs::write(&path, manifest.scratch(&keyed.lock, keyed.root, &keyed.reached, whole_syn))
        .map_err(|source| GuestError::File { path, source })
}

/// Adds a text to a file that may be a link to the user's.
fn append(path: &Utf8Path, text: &str) -> std::io::Result<()> {
    let whole = std::fs::read_to_string(path)? + text;
    std::fs::remove_file(path)?;
    std::fs::write(path, whole)
}

/// Features in the form that tells packages apart.
fn features(members: &[Member<'_>]) -> String {
    let of = |m: &Member<'_>| -> Vec<String> {
        m.manifest.features().iter().map(|f| format!("{}/{f}", m.request.name)).collect()
    };
    members.iter().flat_map(of).collect::<Vec<_>>().join(",")
}

/// The workspace's manifest and its lockfile.
fn write_root(workspace: &Workspace, group: &[(Keyed, &GuestRequest)]) -> Result<(), GuestError> {
    let Some((first, request)) = group.first() else { return Ok(()) };
    let members: Vec<String> = group.iter().map(|(_, r)| workspace.member_path(&r.name)).collect();
    let assertions = request.debug_assertions;
    let mut manifest = format!("[workspace]\nresolver = \"2\"\nmembers = {members:?}\n");
    // Writing to a string can't fail.
    let _ = write!(
        manifest,
        "\n[profile.{PROFILE}]\ninherits = \"release\"\nopt-level = {OPT_LEVEL}\ndebug = false\nstrip = \"none\"\n\
         debug-assertions = {assertions}\noverflow-checks = {assertions}\nlto = \"off\"\npanic = \"unwind\"\n\
         incremental = false\nrpath = false\n\
         \n[profile.{PROFILE}.build-override]\nopt-level = 0\ndebug = false\ncodegen-units = 16\n\
         debug-assertions = {assertions}\noverflow-checks = {assertions}\n\n",
    );
    // By name and version: another version of the same name is to come out as it would alone.
    let spec = |name: &str, version: &str| format!("{name}@{version}");
    let mut packages: BTreeMap<String, String> = BTreeMap::new();
    for (keyed, request) in group {
        let reached = keyed.reached.iter().map(|&i| &keyed.lock.packages[i]);
        let syn = reached.filter(|package| package.name == "syn").map(|syn| spec(&syn.name, &syn.version));
        for package in syn.chain([spec(&request.name, &request.version)]) {
            packages.insert(package, "opt-level = 0\n".to_owned());
        }
    }
    // Cargo looks at times to see whether a package by path has changed; its content is what counts. The number is part
    // of what cargo tells builds apart by, and the wrapper replaces it.
    let roots: BTreeSet<&str> = group.iter().map(|(_, r)| r.name.as_str()).collect();
    let mut numbered = BTreeSet::new();
    for (keyed, _) in group {
        for (name, files) in keyed.local.iter().filter(|(name, _)| !roots.contains(name.as_str())) {
            let here = keyed.lock.packages.iter().find(|p| p.source.is_none() && p.name == *name);
            let package = here.map_or_else(|| name.clone(), |p| spec(name, &p.version));
            if !numbered.insert(package.clone()) {
                continue;
            }
            let [a, b, c, d, ..] = *files.as_bytes();
            let number = 0x4000_0000 | (u32::from_le_bytes([a, b, c, d]) >> 2);
            let _ = writeln!(packages.entry(package).or_default(), "codegen-units = {number}");
        }
    }
    for (package, settings) in packages {
        let _ = write!(manifest, "[profile.{PROFILE}.package.{package:?}]\n{settings}");
    }
    let mut reached = BTreeSet::new();
    for (keyed, _) in group {
        reached.extend(keyed.reached.iter().map(|&i| keyed.lock.packages[i].name.as_str()));
    }
    if let Some(patches) = manifest::patches(&request.workspace_root, &reached) {
        let mut doc = toml_edit::DocumentMut::new();
        doc["patch"] = patches;
        manifest.push_str(&doc.to_string());
    }
    let roots: Vec<usize> = group.iter().map(|(k, _)| k.root).collect();
    for (path, text) in [("Cargo.toml", manifest), ("Cargo.lock", first.lock.seed(&roots))] {
        let path = workspace.root.join(path);
        std::fs::write(&path, text).map_err(|source| GuestError::File { path, source })?;
    }
    Ok(())
}

/// What guests are compiled with; it decides their bytes. Compared with 1, 2 and 3: least to build, least to make
/// native, and quick enough to run.
///
/// Not so the macro packages themselves and syn, which are not optimised at all (see [`write_root`]): optimising syn takes most
/// of a first build, and they run a third longer without. What moves tokens (proc-macro2, quote, `proc_macro` and
/// std) is run through most, and costs least to optimise. docs/bench.md has the numbers.
const OPT_LEVEL: &str = "\"s\"";

/// Lets cargo build these members only, those first that most waits for. A name such as `-p` takes could mean a dependency as well.
fn write_default_members(workspace: &Workspace, members: &[Member<'_>]) -> Result<(), GuestError> {
    let path = workspace.root.join("Cargo.toml");
    let io = |source| GuestError::File { path: path.clone(), source };
    let awaited: Vec<_> = members
        .iter()
        .map(|m| Awaited { package: &m.request.name, dir: &m.dir, bytes: m.request.awaited })
        .collect();
    let order = order::write(&workspace.root, &awaited).map_err(io)?;
    let mut doc: toml_edit::DocumentMut = std::fs::read_to_string(&path)
        .and_then(|text| text.parse().map_err(std::io::Error::other))
        .map_err(io)?;
    let own = members.iter().map(|m| workspace.member_path(&m.request.name));
    let order = order.into_iter().map(Utf8PathBuf::into_string);
    let members: toml_edit::Array = own.chain(order.clone()).collect();
    doc["workspace"]["default-members"] = toml_edit::value(members);
    if let Some(all) = doc["workspace"]["members"].as_array_mut() {
        // A batch before it may have written some.
        all.retain(|member| member.as_str().is_some_and(|member| !order::is_one(member)));
        all.extend(order);
    }
    std::fs::write(&path, doc.to_string()).map_err(io)
}

/// Packages by path can be put in others' places in more ways than the key knows of. What it doesn't know of must not get
/// into the store, where other projects would find it.
fn check_local(request: &GuestRequest, keyed: &Keyed, graph: &Graph) -> Result<(), GuestError> {
    let unknown = |p: &&GraphPackage| p.origin == Origin::Path && !keyed.local.contains_key(&p.name);
    let used = graph.macros.iter().map(|used| &used.package);
    match graph.linked.iter().chain(used).filter(|p| p.name != request.name).find(unknown) {
        Some(package) => Err(GuestError::Replaced {
            guest: request.title(),
            package: package.name.clone(),
            path: package.dir.clone(),
        }),
        None => Ok(()),
    }
}

/// Nothing may have come into the lockfile.
fn check_lock(root: &Utf8Path, members: &[Member<'_>]) -> Result<(), GuestError> {
    let Some(first) = members.first() else { return Ok(()) };
    let guest = first.request.title();
    let result = Lockfile::read(&root.join("Cargo.lock"))
        .map_err(|source| GuestError::Lock { guest: guest.clone(), source })?;
    let names: Vec<_> =
        members.iter().map(|m| (m.request.name.as_str(), m.request.version.as_str())).collect();
    let strangers = first.keyed.lock.strangers(&result, &names);
    let Some(stranger) = strangers.first() else { return Ok(()) };
    let advice = format!(
        "run `cargo update -p {}` if the lockfile doesn't fit the manifests; otherwise please report it",
        first.request.name
    );
    let lockfile = first.request.lockfile.clone();
    Err(GuestError::Stranger { guest, stranger: stranger.to_string(), lockfile, advice })
}

/// `name@version`, or what there is of it, of a package id.
fn package_name(id: &str) -> String {
    let (source, fragment) = id.rsplit_once('#').unwrap_or(("", id));
    match fragment.split_once('@') {
        Some((name, version)) => format!("{name} {version}"),
        None => format!("{} {fragment}", source.trim_end_matches('/').rsplit('/').next().unwrap_or_default()),
    }
}

/// How much of a nested build's output is shown.
const LINES: usize = 60;

fn failure(
    members: &[Member<'_>],
    status: std::process::ExitStatus,
    problems: Vec<(String, String)>,
    said: &str,
    store: &Store,
) -> GuestError {
    let all = || members.iter().map(|m| m.request.title()).collect::<Vec<_>>().join(", ");
    if status.signal().is_some() {
        return GuestError::Stopped { guest: all(), status };
    }
    let failed = problems.first().map(|(package, _)| package.clone()).or_else(|| failed_package(said));
    let guest = failed.as_deref().and_then(|f| guest_of(members, f)).unwrap_or_else(all);
    let failed = failed.unwrap_or_else(|| guest.clone());
    let texts: Vec<&str> =
        problems.iter().filter(|(p, _)| *p == failed).map(|(_, text)| text.as_str()).collect();
    let mut text = if texts.is_empty() { said.to_owned() } else { texts.join("\n") };
    // rustc was told other names for directories; people want the real ones.
    for member in members {
        let own = (&member.request.name, &member.request.version, member.manifest.dir());
        let linked = member.graph.linked.iter().map(|p| (&p.name, &p.version, p.dir.as_path()));
        for (name, version, dir) in linked.chain([own]) {
            text = text.replace(&format!("{}/", nested::place(name, version)), &format!("{dir}/"));
        }
    }
    if trouble::no_room(&text) || trouble::no_room(said) {
        let text = if trouble::no_room(&text) { &text } else { said };
        return GuestError::NoRoom { guest, output: quoted(text), store: store.root().to_owned() };
    }
    let advice = if said.contains("failed to run custom build command") {
        format!(
            "the build script of {failed} fails; a version or a feature of it that needs no C code can be sealed"
        )
    } else if failed == guest {
        format!("choose a version or features of {failed} that compile for WASI")
    } else {
        format!("choose versions or features of {guest} and {failed} that compile for WASI")
    };
    GuestError::Build { guest, failed, output: quoted(&text), advice }
}

/// The guest that a package belongs to: itself, or the first one that links it.
fn guest_of(members: &[Member<'_>], package: &str) -> Option<String> {
    let is = |name: &str, version: &str| {
        package == name || package.strip_prefix(name).and_then(|v| v.strip_prefix(' ')) == Some(version)
    };
    let own = members.iter().find(|m| is(&m.request.name, &m.request.version));
    let linking = || members.iter().find(|m| m.graph.linked.iter().any(|p| is(&p.name, &p.version)));
    own.or_else(linking).map(|m| m.request.title())
}

/// What cargo or rustc said, set apart from our own words, and not too much of it.
fn quoted(text: &str) -> String {
    let noise =
        |l: &&str| !l.trim_start().starts_with("Compiling ") && !l.starts_with("warning: build failed");
    let lines: Vec<&str> = text.lines().filter(noise).collect();
    let mut output: String = lines.iter().take(LINES).map(|l| format!("  | {l}\n")).collect();
    if lines.len() > LINES {
        let _ = writeln!(output, "  | … {} more lines", lines.len() - LINES);
    }
    output.trim_end().to_owned()
}

/// The package of "could not compile `name`" or "failed to run custom build command for `name v1.0.0`".
fn failed_package(said: &str) -> Option<String> {
    let line = said.lines().find(|l| l.starts_with("error:") && l.contains('`'))?;
    line.split('`').nth(1).map(|name| name.replace(" v", " "))
}

fn advice(what: &crate::error::BadModule) -> &'static str {
    use crate::error::BadModule;
    match what {
        BadModule::Import { .. } => {
            "it links a library that only runs beside JavaScript or another host; look for a feature that turns it off"
        }
        _ => "this may be an attack by the macro's author, or a fault of belljar; please report it",
    }
}

/// In a scratch workspace: the file that its process holds locked.
const IN_USE: &str = "in-use";

fn mark_in_use(root: &Utf8Path) -> std::io::Result<std::fs::File> {
    // It gets its name when it is locked already: no other belljar ever sees it free.
    let new = root.join("in-use.new");
    let file = std::fs::File::create(&new)?;
    file.lock()?;
    std::fs::rename(new, root.join(IN_USE))?;
    Ok(file)
}

/// Removes scratch workspaces that killed processes left behind.
fn remove_old(area: &Utf8Path) {
    const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
    for entry in area.read_dir_utf8().into_iter().flatten().flatten() {
        if !entry.file_name().starts_with("guests-") {
            continue;
        }
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        let left = match std::fs::File::open(entry.path().join(IN_USE)) {
            Ok(file) => file.try_lock().is_ok(),
            // Being made just now, or damaged.
            Err(_) => age.is_some_and(|age| age > DAY),
        };
        if left {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
