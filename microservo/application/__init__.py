"""What users can ask for: every act of command line and client, which import this and no adapter."""
