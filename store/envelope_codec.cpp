#include "store/envelope_codec.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

namespace ved::store {

void encode(const google::protobuf::MessageLite& message, std::string& out) {
  google::protobuf::io::StringOutputStream sink(&out);
  google::protobuf::io::CodedOutputStream coded(&sink);
  coded.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&coded);
}

result<pb::Envelope> decode_envelope(std::uint64_t position, std::string_view bytes) {
  pb::Envelope event;
  if (!event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(errc::corrupt, "event " + std::to_string(position) + ": cannot be decoded");
  if (event.position() != position)
    return fail(errc::corrupt, "event " + std::to_string(position) +
                                   ": says that its position is " +
                                   std::to_string(event.position()));
  return event;
}

result<pb::StoredState> decode_state(std::string_view stream, std::string_view bytes) {
  pb::StoredState state;
  if (!state.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return fail(errc::corrupt,
                "stream " + printable(stream) + ": its stored state cannot be decoded");
  return state;
}

std::string printable(std::string_view bytes) {
  constexpr std::size_t shown_max = 128;
  std::string text(bytes.substr(0, shown_max));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  if (bytes.size() > shown_max) text += "...";
  return text;
}

}  // namespace ved::store
