#pragma once

#include <string>
#include <utility>

#include "actors/api/shell/service.hpp"

/// Private to actors/api/shell: what all operations share.
namespace ved::actors {

struct service::call {
  pb::ApiRequest request;
  reply_to done;
  principal who;

  requester asked_by() const {
    // Request ids are remembered per principal: one cannot answer for another.
    return {who.name,
            request.request_id().empty() ? std::string{} : who.name + "/" + request.request_id(),
            who.token_id};
  }
};

/// What a query found, as the part of the reply that `pick` names; or its error.
template <class T>
pb::ApiReply reply_of(result<T> outcome, T* (pb::ApiReply::*pick)()) {
  if (!outcome) return to_reply(outcome.error());
  pb::ApiReply reply;
  *(reply.*pick)() = std::move(*outcome);
  return reply;
}

}  // namespace ved::actors
