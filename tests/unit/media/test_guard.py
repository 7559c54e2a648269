"""Which URLs may be fetched, and how they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferway.media.guard import Guard, Target, parse_redirect, parse_url
from inferway.media.policy import MediaSettings
from inferway.media.refusals import FetchFailed


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("http://example.com", "example.com", 80, "/"),
        ("HTTPS://EXAMPLE.com./a?b=c#d", "example.com", 443, "/a?b=c"),
        ("http://example.com?x=1", "example.com", 80, "/?x=1"),
        ("http://example.com:443/", "example.com", 443, "/"),
        ("https://93.184.216.34/a", "93.184.216.34", 443, "/a"),
        ("https://[2606:4700:0::1111]/a", "2606:4700::1111", 443, "/a"),
        ("https://b\u00fccher.example/\u00fc?q=\u00e9", "xn--bcher-kva.example", 443, "/%C3%BC?q=%C3%A9"),
        ("https://xn--bcher-kva.example/%C3%BC", "xn--bcher-kva.example", 443, "/%C3%BC"),
        ("https://a_b.example/x", "a_b.example", 443, "/x"),
        (
            "https://h.example/a'(b)*;v=1,2~?X-Sig=a%2Fb+c&u=http://x/",
            "h.example",
            443,
            "/a'(b)*;v=1,2~?X-Sig=a%2Fb+c&u=http://x/",
        ),
        ('https://h.example/a"<b>', "h.example", 443, "/a%22%3Cb%3E"),
        ("https://h.example/a@b", "h.example", 443, "/a@b"),
    ],
)
def test_a_good_url_is_read(url: str, host: str, port: int, path: str) -> None:
    target = parse_url(url)
    assert (target.host, target.port, target.path) == (host, port, path)


def test_the_host_header_has_a_port_only_where_it_is_not_the_schemes_own() -> None:
    headers = [
        parse_url(url).host_header() for url in ("http://a.b/", "http://a.b:443/", "https://[2606::1]:443/")
    ]
    assert headers == ["a.b", "a.b:443", "[2606::1]"]


def test_what_is_logged_of_a_url_has_neither_path_nor_query() -> None:
    assert parse_url("https://a.b/secret?token=secret").origin == "https://a.b:443"


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x?y", "https://a.example/x?y"),
        ("x", "https://a.example/dir/x"),
        ("//b.example/x", "https://b.example/x"),
        ("https://b.example:80/x", "https://b.example:80/x"),
        ("?q", "https://a.example/dir/page?q"),
        ("/\u00fc", "https://a.example/%C3%BC"),
    ],
)
def test_a_redirect_is_read_against_where_it_came_from(location: str, url: str) -> None:
    target = parse_redirect(parse_url("https://a.example/dir/page"), location.encode())
    assert target.url == url


@pytest.mark.parametrize(
    "location",
    [
        b"http://a.example/x",
        b"file:///etc/passwd",
        b"gopher://a.example/",
        b"https://u@a.example/",
        b"\thttps://b.example/",
        b"https://b.exa\tmple/",
        b"//b.example\\@c.example/",
        b"https://[::1/",
        b"\xff\xfe",
        b"https:///x",
        b"https:x",
        b"///b.example/x",
    ],
)
def test_a_redirect_that_is_hostile_or_leaves_https_is_refused(location: bytes) -> None:
    with pytest.raises(FetchFailed):
        Guard(MediaSettings()).check(parse_redirect(parse_url("https://a.example/"), location))


def _judge(settings: MediaSettings, url: str, *answers: str) -> None:
    guard = Guard(settings)
    guard.judge(guard.admit(url), answers)


@pytest.mark.parametrize(
    ("settings", "url", "answers"),
    [
        (MediaSettings(), "http://h/", ["93.184.216.34", "2606:4700::1111"]),
        (
            MediaSettings(allow_hosts=("minio.corp",)),
            "http://minio.corp/",
            ["10.0.0.5", "fd00::5", "127.0.0.1", "::1"],
        ),
        (MediaSettings(allow_hosts=("minio.corp:9000",)), "http://minio.corp:9000/", ["10.0.0.5"]),
        (MediaSettings(allow_hosts=("10.0.0.5",)), "http://10.0.0.5/", ["10.0.0.5"]),
        (MediaSettings(allow_hosts=("[fd00::5]:9000",)), "http://[fd00::5]:9000/", ["fd00::5"]),
        (MediaSettings(allow_networks=("10.0.0.0/8",)), "http://10.9.9.9/", ["10.9.9.9"]),
        (MediaSettings(allow_networks=("10.0.0.0/8",)), "http://h/", ["::ffff:10.9.9.9"]),
        (MediaSettings(allow_networks=("64:ff9b::/96",)), "http://h/", ["64:ff9b::8.8.8.8"]),
        (MediaSettings(allow_networks=("::1/128",)), "http://[::1]/", ["::1"]),
        (MediaSettings(allow_ports=(8080,)), "http://h:8080/", ["93.184.216.34"]),
    ],
)
def test_an_operator_may_allow_hosts_networks_and_ports(
    settings: MediaSettings, url: str, answers: list[str]
) -> None:
    _judge(settings, url, *answers)


@pytest.mark.parametrize(
    ("settings", "url", "answers"),
    [
        (MediaSettings(allow_hosts=("minio.corp",)), "http://other.corp/", ["10.0.0.5"]),
        (MediaSettings(allow_hosts=("minio.corp",)), "http://minio.corp/", ["169.254.169.254"]),
        (MediaSettings(allow_hosts=("minio.corp",)), "http://minio.corp/", ["10.0.0.5", "224.0.0.1"]),
        (MediaSettings(allow_hosts=("minio.corp",)), "http://minio.corp/", ["::ffff:10.0.0.5"]),
        (MediaSettings(allow_hosts=("minio.corp",)), "http://minio.corp:9000/", ["10.0.0.5"]),
        (MediaSettings(allow_hosts=("minio.corp:9000",)), "http://minio.corp/", ["10.0.0.5"]),
        (MediaSettings(allow_hosts=("minio.corp:9000",)), "http://other.corp:9000/", ["93.184.216.34"]),
        (MediaSettings(allow_networks=("10.0.0.0/8",)), "http://h/", ["11.0.0.1", "192.168.0.1"]),
        (MediaSettings(allow_networks=("64:ff9b::/96",)), "http://h/", ["64:ff9b::10.0.0.1"]),
        (MediaSettings(allow_networks=("2002::/16",)), "http://h/", ["2002:7f00:1::"]),
        (MediaSettings(deny_networks=("93.184.0.0/16",)), "http://h/", ["93.184.216.34"]),
        (MediaSettings(deny_networks=("93.184.0.0/16",)), "http://h/", ["::ffff:93.184.216.34"]),
        (
            MediaSettings(deny_networks=("10.1.0.0/16",), allow_networks=("10.0.0.0/8",)),
            "http://h/",
            ["10.1.0.1"],
        ),
        (MediaSettings(deny_networks=("10.1.0.0/16",), allow_hosts=("h",)), "http://h/", ["10.1.0.1"]),
        (MediaSettings(allow_ports=(8080,)), "http://h/", ["93.184.216.34"]),
        (MediaSettings(), "http://h/", ["fe80::1%lo"]),
    ],
)
def test_what_is_allowed_opens_nothing_else(settings: MediaSettings, url: str, answers: list[str]) -> None:
    with pytest.raises(FetchFailed):
        _judge(settings, url, *answers)


@pytest.mark.parametrize(
    "fault",
    [
        {"allow_networks": ("10.0.0.5/8",)},
        {"deny_networks": ("nonsense",)},
        {"allow_hosts": ("http://h/",)},
        {"allow_hosts": ("h:0x50",)},
        {"allow_hosts": ("h:70000",)},
        {"allow_hosts": ("*",)},
        {"allow_ports": (0,)},
        {"deadline_s": 0.0},
        {"max_redirects": -1},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused_with_their_name(fault: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"media.{next(iter(fault))}"):
        MediaSettings(**fault)  # type: ignore[arg-type]  # Wrong on purpose.


@given(st.text() | st.from_regex(r"https?://[^/]{0,40}(/.{0,20})?", fullmatch=True))
def test_any_text_is_a_target_or_a_refusal(url: str) -> None:
    try:
        target = parse_url(url)
    except FetchFailed:
        return
    assert isinstance(target, Target)
    line = f"GET {target.path} HTTP/1.1\r\nHost: {target.host_header()}"
    assert line.isascii()
    assert line.count(" ") == 3
    assert line.count("\n") == 1
    assert parse_url(target.url) == target
