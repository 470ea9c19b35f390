"""Capture: sessions of agents brought into tracts, and back to files.

- discover: where each program keeps its sessions. files, databases: open and read them; follow: as they grow.
- hooks: what makes an agent call `tract hook`.
- sessions: from a file to its tracts, and back; importer: one transcript into one tract; stamps: what each commit keeps
  of its record, by which exporter gives the file back.
- resuming: a session file that a tool goes on with, made of any context.

What a format looks like is in transcripts/.
"""
