"""Settings of RFID readers as a lane's configuration gives them, and their profiles in `firmware_configs/rfid`: a
module for each family; `family.py` and `profiles.py` are what all of them share."""
