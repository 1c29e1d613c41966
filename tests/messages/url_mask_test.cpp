#include "messages/url_mask.hpp"

#include <catch2/catch.hpp>

using namespace ved;

TEST_CASE("url mask: no part of a URL that may be secret is left", "[messages][url]") {
  for (const char* url :
       {"https://user:SECRET@h.example/a", "https://SECRET@h.example/", "http://h/a?key=SECRET",
        "http://h/?a=1&b=SECRET#x", "http://h/a#SECRET", "http://user:SE%43RET@h/",
        "http://user:SECRET%40h.example/x", "HTTPS://u:SECRET@h", "ftp://u:SECRET@h/p",
        "http://u:SECRET/x@h/", "http://u:SECRET?x@h/", "http://u:SECRET#x@h/",
        "http://u:a@SECRET@h/", "http://[::1", "u:SECRET@h.example/x", "https:/u:SECRET@h/",
        "https:u:SECRET@h", "http://:SECRET@h/", "http://u:SECRET@[::1]:80/",
        "http://h:SECRET/", "https://hooks.example/T1/B2/SECRETSECRETSECRETSECRET",
        "got \"http://u:SECRET@h/\", expected", "[http://a/?SECRET, http://b/?SECRET]",
        "http://u:a,SECRET@h/", "(http://u:'SECRET@h/)",
        "proxy=http://u:SECRET@h:3128", "two: http://h/?SECRET http://u:SECRET@h"}) {
    INFO(url);
    const auto shown = mask_urls(url);
    CHECK(shown.find("SECRET") == std::string::npos);
    CHECK(shown.find("SE%43RET") == std::string::npos);
  }
}

TEST_CASE("url mask: a text that is one URL is masked beyond its blanks", "[messages][url]") {
  CHECK(mask_url("http://u:SEC RET@h/") == "http://***@h/");
  CHECK(mask_url("u:SEC \"RET@h") == "***@h");
}

TEST_CASE("url mask: what is no secret stays readable", "[messages][url]") {
  for (const char* text :
       {"", "plain words, a: b", "https://billing.example.com/ved", "http://127.0.0.1:8080/hook",
        "http://[::1]:80/a/b", "mail someone@example.org", "user@host:/path", "10:20:30"})
    CHECK(mask_urls(text) == text);
  CHECK(mask_urls("https://u:p@h:8443/a?k=v") == "https://***@h:8443/a?***");
  CHECK(mask_urls("https://h/a?k=v next") == "https://h/a?*** next");
}

TEST_CASE("url mask: of an image what is secret is masked, and its name stays",
          "[messages][url]") {
  const std::string digest = "@sha256:" + std::string(64, '0');
  for (const std::string name :
       {"", "/images/long-names-of-images-are-no-keys@1.sif", "ubuntu", "docker://ubuntu:22.04",
        "docker://h:5000/group/long-names-of-images-are-no-keys:22.04", "h.example/a/b:tag"}) {
    CHECK(mask_image(name) == name);
    if (!name.starts_with('/')) CHECK(mask_image(name + digest) == name + digest);
  }
  CHECK(mask_image("docker://u:SECRET@h/a:1" + digest) == "docker://***@h/a:1" + digest);
  CHECK(mask_image("oras://h/a?key=SECRET#SECRET") == "oras://h/a?***");
  CHECK(mask_image("https://h/SECRETSECRETSECRETSECRET/a.sif") == "https://h/***/a.sif");
  for (const std::string name :
       {"docker://u:SECRET@h/a", "docker://SECRET@h", "u:SECRET@h/a:1", "docker://u:a@SECRET@h/a",
        "docker://u:SECRET/x@h/a", "docker://u:SECRET://x@h/a", "SECRET@sha256:12",
        "http://h/a.sif?SECRET"}) {
    INFO(name);
    CHECK(mask_image(name).find("SECRET") == std::string::npos);
  }
}
