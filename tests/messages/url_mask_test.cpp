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
