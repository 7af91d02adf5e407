use super::*;

#[test]
fn general_clients_and_libraries_are_recognized() {
    check_all(&[
        ("Wget/1.13.4 (linux-gnu)", ["wget", "1.13.4", "linux", "-"]),
        ("Wget/1.11.4 Red Hat modified", ["wget", "1.11.4", "red hat", "-"]),
        ("curl/7.22.0 (x86_64-pc-linux-gnu) libcurl/7.22.0 OpenSSL/1.0.1", ["curl", "7.22.0", "linux", "amd64"]),
        ("libcurl/7.88.1", ["libcurl", "7.88.1", "-", "-"]),
        ("git/2.39.2", ["git", "2.39.2", "-", "-"]),
        ("git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.3)", ["git-lfs", "3.3.0", "linux", "amd64"]),
        ("python-requests/2.0.0 CPython/2.6.6 Linux/2.6.32-358.el6.x86_64", ["requests", "2.0.0", "linux", "amd64"]),
        ("Python/3.9 aiohttp/3.7.3", ["aiohttp", "3.7.3", "-", "-"]),
        ("Go 1.1 package http", ["go", "-", "-", "-"]),
        ("Go-http-client/2.0", ["go", "2.0", "-", "-"]),
        ("Java/1.8.0_25", ["java", "1.8.0_25", "-", "-"]),
        ("Apache-HttpClient/4.3.5 (java 1.5)", ["apache-httpclient", "4.3.5", "-", "-"]),
        (
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.2364",
            ["powershell", "5.1.19041.2364", "windows", "-"],
        ),
    ]);
}

#[test]
fn browsers_have_family_version_and_system() {
    let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
    check_all(&[
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:27.0) Gecko/20100101 Firefox/27.0",
            ["firefox", "27.0", "linux", "amd64"],
        ),
        (
            &format!("Mozilla/5.0 (Windows NT 6.1; WOW64) {webkit} Chrome/32.0.1700.107 Safari/537.36"),
            ["chrome", "32.0.1700.107", "windows", "amd64"],
        ),
        (
            &format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/96.0.4664.110 Safari/537.36 Edg/96.0.1054.57"
            ),
            ["edge", "96.0.1054.57", "windows", "amd64"],
        ),
        (
            &format!(
                "Mozilla/5.0 (X11; Linux x86_64) {webkit} Ubuntu Chromium/32.0.1700.102 Chrome/32.0.1700.102 Safari/537.36"
            ),
            ["chromium", "32.0.1700.102", "linux", "amd64"],
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.73.11 (KHTML, like Gecko) Version/7.0.1 Safari/537.73.11",
            ["safari", "7.0.1", "macos", "-"],
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 7_0_4 like Mac OS X) AppleWebKit/537.51.1 (KHTML, like Gecko) Version/7.0 Mobile/11B554a Safari/9537.53",
            ["safari", "7.0", "ios", "-"],
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 7_0_4 like Mac OS X) AppleWebKit/537.51.1 Mobile/11B554a",
            ["browser", "-", "ios", "-"],
        ),
        (
            "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; WOW64; Trident/5.0)",
            ["internet-explorer", "9.0", "windows", "amd64"],
        ),
        (
            "Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko",
            ["internet-explorer", "11.0", "windows", "-"],
        ),
        ("Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16", ["opera", "12.16", "linux", "amd64"]),
        ("Opera/9.64(Windows NT 5.1; U; en) Presto/2.1.1", ["opera", "9.64", "windows", "-"]),
    ]);
}

#[test]
fn robots_are_flagged_even_when_they_pose_as_browsers() {
    let posing = "Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) AppleWebKit/536.26 Version/6.0 Mobile/10A5376e \
        Safari/8536.25 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    check(posing, ["googlebot", "-", "ios", "-"]);
    assert!(recognize(posing).bot);
    assert!(recognize("Mozilla/5.0 (compatible; AhrefsBot/5.0; +http://ahrefs.com/robot/)").bot);
    assert!(recognize("SomethingNew-bot/1.0").bot);
    assert!(recognize("python-requests/2.31.0 (some crawler)").bot);
    assert!(!recognize("Mozilla/5.0 (X11; Linux x86_64; rv:26.0) Gecko/20100101 Firefox/26.0").bot);
    assert!(!recognize("Mozilla/5.0 (Linux; Android 10; CUBOT NOTE 20) Chrome/80.0 Mobile Safari/537.36").bot);
    assert!(!recognize("curl/8.5.0").bot);
}
