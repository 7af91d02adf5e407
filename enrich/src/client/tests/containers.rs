use super::*;

const ENGINE: &str = "docker/24.0.7 go/go1.20.10 git-commit/311b9ff kernel/6.1.0-13-amd64 os/linux arch/amd64";

#[test]
fn docker_is_the_engine_and_its_machine() {
    check_all(&[
        (&format!("{ENGINE} UpstreamClient(Docker-Client/24.0.7 \\(linux\\))"), ["docker", "24.0.7", "linux", "amd64"]),
        (ENGINE, ["docker", "24.0.7", "linux", "amd64"]),
        (
            "docker/20.10.21 go/go1.18.7 git-commit/3056208 kernel/5.15.49-linuxkit os/linux arch/arm64 \
             UpstreamClient(Docker-Client/20.10.21 \\(darwin\\))",
            ["docker", "20.10.21", "linux", "arm64"],
        ),
        ("docker/1.13 UpstreamClient(Docker-Client/1.13 \\(windows\\))", ["docker", "1.13", "windows", "-"]),
        (
            "docker/dev go/go1.20.4 git-commit/8d67d0c1a8 kernel/5.15.49-linuxkit-pr os/linux arch/arm64 \
             UpstreamClient(Docker-Client/24.0.2 \\(linux\\))",
            ["docker", "24.0.2", "linux", "arm64"],
        ),
        (
            "docker/20.10.9 go/go1.16.8 git-commit/79ea9d3 kernel/5.4.0-77-generic os/linux arch/amd64 \
             UpstreamClient(Docker-Client/unknown-version \\(linux\\))",
            ["docker", "20.10.9", "linux", "amd64"],
        ),
        (&format!("{ENGINE} UpstreamClient(Go-http-client/1.1)"), ["docker", "24.0.7", "linux", "amd64"]),
        (&format!("{ENGINE} UpstreamClient(something/1.0)"), ["docker", "24.0.7", "linux", "amd64"]),
    ]);
}

#[test]
fn a_client_that_names_itself_to_docker_is_the_one_that_counts() {
    let with = |client: &str| format!("{ENGINE} UpstreamClient({client})");
    check_all(&[
        (
            &with("docker-compose/1.29.2 docker-py/5.0.0 Linux/5.4.0-88-generic"),
            ["docker-compose", "1.29.2", "linux", "amd64"],
        ),
        (&with("compose/v2.23.3"), ["docker-compose", "2.23.3", "linux", "amd64"]),
        (&with("buildx/v0.12.0"), ["buildx", "0.12.0", "linux", "amd64"]),
        (&with("tc-java/1.19.3"), ["testcontainers", "1.19.3", "linux", "amd64"]),
        (&with("testcontainers-go/0.26.0 \\(darwin\\)"), ["testcontainers", "0.26.0", "linux", "amd64"]),
        (&with("buf-cli-1.11.0-dev"), ["buf", "1.11.0-dev", "linux", "amd64"]),
    ]);
    assert_eq!(recognize(&with("compose/v2.23.3")).class, Some(Class::Tool));
    let watchtower = recognize(&with("Watchtower/1.7.1"));
    assert_eq!((watchtower.name, watchtower.bot, watchtower.class), (Some("watchtower"), false, Some(Class::Runtime)));
}

#[test]
fn only_docker_nests() {
    assert!(recognize("Mozilla/5.0 (compatible; newbot/1.0) UpstreamClient(compose/v2.23.3)").bot);
    check("something/1.0 UpstreamClient(compose/v2.23.3)", ["-", "-", "-", "-"]);
}

#[test]
fn container_tools_and_runtimes_are_recognized() {
    check_all(&[
        ("containerd/v1.7.2", ["containerd", "1.7.2", "-", "-"]),
        ("containerd/1.4.3+unknown", ["containerd", "1.4.3+unknown", "-", "-"]),
        ("containerd/v1.7.7-k3s1", ["k3s", "1.7.7-k3s1", "-", "-"]),
        ("libpod/4.3.1", ["podman", "4.3.1", "-", "-"]),
        ("Buildah/1.28.0", ["buildah", "1.28.0", "-", "-"]),
        ("skopeo/1.9.3", ["skopeo", "1.9.3", "-", "-"]),
        ("crane/v0.15.2 go-containerregistry/v0.15.2", ["crane", "0.15.2", "-", "-"]),
        ("go-containerregistry/v0.19.1", ["go-containerregistry", "0.19.1", "-", "-"]),
        ("cosign/v2.2.1 (linux; amd64) go-containerregistry/v0.16.1", ["cosign", "2.2.1", "linux", "amd64"]),
        ("kaniko/v1.9.0", ["kaniko", "1.9.0", "-", "-"]),
        ("kaniko/v1.9.0,composer-managed", ["kaniko", "1.9.0", "-", "-"]),
        ("oras/1.1.0", ["oras", "1.1.0", "-", "-"]),
        ("oras-go", ["oras", "-", "-", "-"]),
        ("Helm/3.12.3", ["helm", "3.12.3", "-", "-"]),
        ("regclient/regctl (v0.5.1)", ["regctl", "0.5.1", "-", "-"]),
        ("regclient/regsync (v0.11.7)", ["regsync", "0.11.7", "-", "-"]),
        ("regclient/regbot (v0.11.7)", ["regbot", "0.11.7", "-", "-"]),
        ("regclient/regclient", ["regclient", "-", "-", "-"]),
        ("containers/5.29.1 (github.com/containers/image)", ["containers-image", "5.29.1", "-", "-"]),
        ("cri-o/1.26.1 go/go1.19 os/linux arch/arm64", ["cri-o", "1.26.1", "linux", "arm64"]),
        ("buildkit/v0.12.5", ["buildkit", "0.12.5", "-", "-"]),
        ("nerdctl/1.7.0", ["nerdctl", "1.7.0", "-", "-"]),
        ("kubelet/v1.20.4 (linux/amd64) kubernetes/e87da0b", ["kubelet", "1.20.4", "linux", "amd64"]),
        ("trivy/0.50.1 go-containerregistry/v0.19.1", ["trivy", "0.50.1", "-", "-"]),
        ("flux/v2 go-containerregistry/v0.19.1", ["flux", "2", "-", "-"]),
        ("argocd-repo-server/v2.9.3", ["argocd", "2.9.3", "-", "-"]),
    ]);
    assert!(!recognize("regclient/regbot (v0.11.7)").bot, "its name ends so, but it copies images");
}

#[test]
fn mirrors_and_watchers_have_their_class() {
    for mirror in ["Artifactory/7.71.5 77105900", "Nexus/3.6.0-02 (OSS; Linux; 4.4.0-62-generic; amd64; 1.8.0_144)"] {
        assert_eq!(recognize(mirror).class, Some(Class::Mirror), "{mirror}");
    }
    for mirror in
        ["harbor-registry-client", "distribution/v3.0.0 go1.21", "GoModuleMirror/1.0 (+https://proxy.golang.org)"]
    {
        let client = recognize(mirror);
        assert_eq!((client.class, client.bot), (Some(Class::Mirror), false), "{mirror}");
    }
    let dependabot = "dependabot-core/0.230.0 excon/0.104.0 ruby/3.1.4 (x86_64-linux) (+https://github.com/dependabot/dependabot-core)";
    check(dependabot, ["dependabot", "0.230.0", "linux", "amd64"]);
    check("diun/4.28.0 go/1.22 Linux", ["diun", "4.28.0", "linux", "-"]);
    check("Watchtower (Docker)", ["watchtower", "-", "-", "-"]);
    for watcher in [dependabot, "diun/4.28.0 go/1.22 Linux", "Watchtower (Docker)", "argocd-image-updater/v0.12"] {
        let client = recognize(watcher);
        assert_eq!((client.class, client.bot), (Some(Class::Watcher), true), "{watcher}");
    }
}
