"""The gateway against strangers and against its own renewals."""
import os
import shutil
import signal
import socket
import ssl
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from site_of_test import main, program, run, site_case, wait_for  # noqa: E402

strangers = 900  # of this process, which may have 1,024 descriptors itself; twice


class gateway(site_case):
    def serves(self):
        code, _, errors = self.site.vectl("status")
        self.assertEqual(code, 0, errors)
        self.assertIsNone(self.site.process.poll(), self.site.said())

    def connect(self, certificate, key):
        """TLS with these files of the state directory; whether the daemon says its hello."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(os.path.join(self.site.state, "pki/ca.pem"))
        context.load_cert_chain(os.path.join(self.site.state, certificate),
                                os.path.join(self.site.state, key))
        plain = socket.create_connection(("127.0.0.1", self.site.gateway_port), 10)
        self.addCleanup(plain.close)
        try:
            wire = context.wrap_socket(plain)
            self.addCleanup(wire.close)
            return wire, wire.recv(32)
        except OSError:
            plain.close()
            return None, b""

    def test_silent_connections_shut_nobody_out_with_few_descriptors(self):
        s = self.site
        s.start(wrapper=("prlimit", "--nofile=1024:1024"))
        for _ in range(2):
            flood = [socket.create_connection(("127.0.0.1", s.gateway_port))
                     for _ in range(strangers)]
            self.serves()
            for one in flood:
                one.close()
        self.serves()
        wait_for(lambda: '"event":"gateway_refused"' in s.said(), "the refusals are told")
        # A flood is some lines, not one for each.
        self.assertLess(s.said().count('"event":"gateway_refused"'), 20)

    def test_renewals_beside_a_running_daemon_harm_nothing(self):
        s = self.site
        s.start()
        stop = threading.Event()

        def knock():
            while not stop.is_set():
                socket.create_connection(("127.0.0.1", s.gateway_port)).close()
        knocking = threading.Thread(target=knock)
        knocking.start()
        for _ in range(5):
            code, _, errors = run(program("ved"), "init", "--renew", "--state", s.state)
            self.assertEqual(code, 0, errors)
            s.process.send_signal(signal.SIGHUP)
            self.serves()
        stop.set()
        knocking.join()
        server = os.path.join(s.state, "pki/server.pem")
        shutil.move(server, server + ".away")
        socket.create_connection(("127.0.0.1", s.gateway_port)).close()
        self.serves()
        s.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "certificates_not_reloaded" in s.said(), "the loss is told")
        self.serves()
        self.assertIn("certificates were not taken over", " ".join(s.problems()))
        shutil.move(server + ".away", server)
        self.assertEqual(s.vectl("config", "reload")[0], 0)
        self.assertNotIn("certificate", " ".join(s.problems()))

    def test_a_certificate_has_one_role_and_a_frame_cannot_end_the_daemon(self):
        s = self.site
        s.start()
        self.assertEqual(self.connect("pki/server.pem", "pki/server.key")[1], b"")
        for operation in range(8):
            for size in (0, 0xffffffff):
                wire, hello = self.connect("client/cert.pem", "client/key.pem")
                self.assertEqual(len(hello), 32)
                wire.sendall(struct.pack(">BBBBIQQQ", operation, 0, 0, 0, size, 3, 0, 0))
                wire.close()
        self.serves()


if __name__ == "__main__":
    main()
