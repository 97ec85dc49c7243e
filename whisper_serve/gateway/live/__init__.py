"""Live audio to captions: sessions that know no transport, and the WebSocket before them."""
