# goal = "Files and directories that their own reader may not open."
. ./attack.sh
mkdir closed && echo inside >closed/file && chmod 000 closed
echo unread >unreadable && chmod 000 unreadable
held
